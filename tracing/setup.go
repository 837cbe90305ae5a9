package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The batch processor's bounds. All but the last are the defaults of the OpenTelemetry specification ("Batching
// processor"); it has 30s for the last, as long as a rolling update usually waits for a whole process to end.
const (
	maxPending    = 2048 // spans ended and not yet exported; more are dropped
	maxBatch      = 512
	batchDelay    = 5 * time.Second
	exportTimeout = 10 * time.Second
)

// maxValueLength is enough for most stack traces: [Options].Limits.
const maxValueLength = 4096

// Options says how to trace.
type Options struct {
	// ServiceName names the service (resource attribute service.name), the same for all its replicas. Required.
	ServiceName string
	// ServiceVersion is the version of the program (service.version). "" leaves it out.
	ServiceVersion string
	// Environment is where it runs (deployment.environment.name), such as "production". "" leaves it out.
	Environment string
	// InstanceID tells replicas apart (service.instance.id). "" means what OTEL_RESOURCE_ATTRIBUTES or a detector says, or
	// else a random UUID, new at each start, as the semantic conventions advise.
	InstanceID string
	// Detectors find out more about where the service runs, such as [Kubernetes] and [Detector], and those of the clouds
	// in OpenTelemetry's contrib repository. A later one wins over those before it. Setup asks all at once and waits 5s
	// at most; what one does not find by then, or returns an error for, is logged and left out. Nil means none.
	Detectors []resource.Detector
	// Exporter takes the spans; the [Provider] owns it and shuts it down. Nil means none: spans are made, so that logs
	// have their IDs and other services the trace, and thrown away.
	Exporter sdktrace.SpanExporter
	// Ratio is the share of traces begun here that is kept, decided by trace ID, so that services of one ratio keep the
	// same traces. Zero means 1, all of them; negative means none; more than 1 is an error. A trace begun elsewhere is
	// kept or not as its caller decided. A span that starts with the attribute sampling.priority, an integer of 1 or
	// more, is kept in any case, and with it what is below it.
	Ratio float64
	// Baggage lists the keys of W3C Baggage that [Provider.Propagator] sends and takes in; all others neither leave the
	// service nor come in. Nil means none. A key that is no token (RFC 9110, section 5.6.2) is an error, as are more
	// than 64. Members beyond 8192 bytes in all are not sent; of baggage larger than that nothing is taken in.
	Baggage []string
	// Propagators are formats that [Provider.Propagator] speaks beside W3C trace context, such as B3; the package comment
	// names more. Each sends its headers with every call. A caller's trace context wins over what they find. One that sends
	// W3C Baggage is an error. Nil means none.
	Propagators []propagation.TextMapPropagator
	// Limits bound what one span holds; what is over is cut off or left out. Nil means the SDK's numbers of attributes,
	// events and links (128 of each), and 4096 characters of an attribute's value, so that strangers cannot fill the
	// memory by what they send. sdktrace.NewSpanLimits() is what the variables OTEL_SPAN_* say.
	Limits *sdktrace.SpanLimits
	// ShutdownTimeout bounds the time that [Provider.Run] takes to export what is left, all in all. Zero means 5s;
	// negative means no bound.
	ShutdownTimeout time.Duration
	// SetGlobal makes this provider, its propagator, and Logger as the handler of OpenTelemetry's errors the process-wide
	// ones, for libraries that look there. The kit itself does not look there when it is given a provider. False leaves
	// the process-wide ones as they are.
	SetGlobal bool
	// Logger gets a warning when spans are lost, at most one a minute, and one for each detector that fails. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Setup starts tracing. The provider works at once; run it, or shut it down, to have the last spans exported and its
// goroutine ended. ctx bounds Setup alone, which takes no time but the detectors'.
func Setup(ctx context.Context, o *Options) (*Provider, error) {
	if o == nil || o.ServiceName == "" {
		return nil, errors.New("tracing: Options.ServiceName is required")
	}
	if !(o.Ratio <= 1) { // NaN, too
		return nil, fmt.Errorf("tracing: ratio %v is not 1 or less", o.Ratio)
	}
	if i := slices.Index(o.Detectors, nil); i >= 0 {
		return nil, fmt.Errorf("tracing: Options.Detectors[%d] is nil", i)
	}
	propagator, err := o.propagator()
	if err != nil {
		return nil, err
	}
	p := &Provider{propagator: propagator, log: o.Logger, timeout: o.ShutdownTimeout}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.timeout == 0 {
		p.timeout = 5 * time.Second
	}
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(o.resource(ctx, p.log)), sdktrace.WithSampler(newSampler(o.Ratio)),
		sdktrace.WithRawSpanLimits(o.limits()),
	}
	if o.Exporter != nil {
		p.spans = newPipeline(o.Exporter, p.log)
		options = append(options, sdktrace.WithSpanProcessor(p.spans))
	}
	p.sdk = sdktrace.NewTracerProvider(options...)
	if o.SetGlobal {
		p.setGlobal()
	}
	return p, nil
}

// limits returns what [Options].Limits says.
func (o *Options) limits() sdktrace.SpanLimits {
	if o.Limits != nil {
		return *o.Limits
	}
	return sdktrace.SpanLimits{
		AttributeValueLengthLimit:   maxValueLength,
		AttributeCountLimit:         sdktrace.DefaultAttributeCountLimit,
		EventCountLimit:             sdktrace.DefaultEventCountLimit,
		LinkCountLimit:              sdktrace.DefaultLinkCountLimit,
		AttributePerEventCountLimit: sdktrace.DefaultAttributePerEventCountLimit,
		AttributePerLinkCountLimit:  sdktrace.DefaultAttributePerLinkCountLimit,
	}
}

func (p *Provider) setGlobal() {
	otel.SetTracerProvider(p.sdk)
	otel.SetTextMapPropagator(p.propagator)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		p.log.Warn("tracing: opentelemetry", "error", err)
	}))
}
