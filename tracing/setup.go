package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// The batch processor's bounds. All but the last are the defaults of the OpenTelemetry specification ("Batching
// processor"); it has 30s for the last, as long as a rolling update usually waits for a whole process to end.
const (
	maxPending    = 2048 // spans ended and not yet exported; more are dropped
	maxBatch      = 512
	batchDelay    = 5 * time.Second
	exportTimeout = 10 * time.Second
)

// Options says how to trace.
type Options struct {
	// ServiceName names the service (resource attribute service.name), the same for all its replicas. Required.
	ServiceName string
	// ServiceVersion is the version of the program (service.version). "" leaves it out.
	ServiceVersion string
	// Environment is where it runs (deployment.environment.name), such as "production". "" leaves it out.
	Environment string
	// Exporter takes the spans; the [Provider] owns it and shuts it down. Nil means none: spans are made, so that logs
	// have their IDs and other services the trace, and thrown away.
	Exporter sdktrace.SpanExporter
	// Ratio is the share of traces begun here that is kept, decided by trace ID, so that services of one ratio keep the
	// same traces. Zero means 1, all of them; negative means none; more than 1 is an error. A trace begun elsewhere is
	// kept or not as its caller decided.
	Ratio float64
	// ShutdownTimeout bounds the time that [Provider.Run] takes to export what is left, all in all. Zero means 5s;
	// negative means no bound.
	ShutdownTimeout time.Duration
	// SetGlobal makes this provider, W3C trace context as the propagator, and Logger as the handler of OpenTelemetry's
	// errors the process-wide ones, for libraries that look there. The kit itself does not look there when it is given
	// a provider. False leaves the process-wide ones as they are.
	SetGlobal bool
	// Logger gets a warning when spans are lost, at most one a minute. Nil means slog.Default().
	Logger *slog.Logger
}

// Setup starts tracing. The provider works at once; run it, or shut it down, to have the last spans exported and its
// goroutine ended. ctx bounds Setup alone.
func Setup(ctx context.Context, o *Options) (*Provider, error) {
	if o == nil || o.ServiceName == "" {
		return nil, errors.New("tracing: Options.ServiceName is required")
	}
	if !(o.Ratio <= 1) { // NaN, too
		return nil, fmt.Errorf("tracing: ratio %v is not 1 or less", o.Ratio)
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(o.identity()...))
	if err != nil {
		return nil, fmt.Errorf("tracing: resource: %w", err)
	}
	p := &Provider{log: o.Logger, timeout: o.ShutdownTimeout}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.timeout == 0 {
		p.timeout = 5 * time.Second
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSampler(sampler(o.Ratio))}
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

// identity returns the resource attributes that say who makes the spans.
func (o *Options) identity() []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.ServiceName(o.ServiceName)}
	if o.ServiceVersion != "" {
		attrs = append(attrs, semconv.ServiceVersion(o.ServiceVersion))
	}
	if o.Environment != "" {
		attrs = append(attrs, semconv.DeploymentEnvironmentNameKey.String(o.Environment))
	}
	return attrs
}

func sampler(ratio float64) sdktrace.Sampler {
	if ratio == 0 {
		ratio = 1
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))
}

func (p *Provider) setGlobal() {
	otel.SetTracerProvider(p.sdk)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		p.log.Warn("tracing: opentelemetry", "error", err)
	}))
}
