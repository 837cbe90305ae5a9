package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// detectTimeout bounds what all detectors take together. Those of the clouds ask a server on the local link, which
// answers at once or is not there.
const detectTimeout = 5 * time.Second

// Detector returns a detector for what the SDK has as options only: the host's name is resource.WithHost(), the
// container's ID resource.WithContainer(), an attribute of one's own resource.WithAttributes(...).
func Detector(options ...resource.Option) resource.Detector { return sdkDetector(options) }

type sdkDetector []resource.Option

func (d sdkDetector) Detect(ctx context.Context) (*resource.Resource, error) {
	return resource.New(ctx, d...)
}

// resource returns who makes the spans. What is said in code wins over the environment, and that over what is found
// out, and that over what is made up.
func (o *Options) resource(ctx context.Context, log *slog.Logger) *resource.Resource {
	// An error here is the environment's, which the SDK reports by itself, or a conflict of schema URLs, which costs the
	// schema URL alone.
	res, _ := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceInstanceID(uuid.NewString())),
		resource.WithDetectors(detect(ctx, o.Detectors, log)...),
		resource.WithFromEnv(),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(o.identity()...))
	return res
}

// identity returns the attributes that the options name.
func (o *Options) identity() []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.ServiceName(o.ServiceName)}
	if o.ServiceVersion != "" {
		attrs = append(attrs, semconv.ServiceVersion(o.ServiceVersion))
	}
	if o.InstanceID != "" {
		attrs = append(attrs, semconv.ServiceInstanceID(o.InstanceID))
	}
	if o.Environment != "" {
		attrs = append(attrs, semconv.DeploymentEnvironmentNameKey.String(o.Environment))
	}
	return attrs
}

// finding is what a detector came back with. It is a detector that returns the same again.
type finding struct {
	res *resource.Resource
	err error
}

func (f finding) Detect(context.Context) (*resource.Resource, error) { return f.res, f.err }

// detect asks all detectors at once, and returns what they find within detectTimeout, in their order. One that ignores
// its context lives on, in the goroutine that asks it.
func detect(ctx context.Context, detectors []resource.Detector, log *slog.Logger) []resource.Detector {
	ctx, cancel := context.WithTimeout(ctx, detectTimeout)
	defer cancel()
	asked := make([]chan finding, len(detectors))
	for i, d := range detectors {
		asked[i] = make(chan finding, 1)
		go func() {
			res, err := d.Detect(ctx)
			asked[i] <- finding{res, err}
		}()
	}
	findings := make([]resource.Detector, len(detectors))
	for i, answer := range asked {
		f := await(ctx, answer)
		if f.err != nil {
			log.WarnContext(ctx, "tracing: the resource is not complete",
				"detector", fmt.Sprintf("%T", detectors[i]), "error", f.err)
		}
		findings[i] = f
	}
	return findings
}

func await(ctx context.Context, answer <-chan finding) finding {
	select {
	case f := <-answer:
		return f
	case <-ctx.Done():
	}
	select {
	case f := <-answer: // it was there in time, behind one that was not
		return f
	default:
		return finding{err: ctx.Err()}
	}
}
