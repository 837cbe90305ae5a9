package tracing

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Provider makes tracers, and is a runner that exports what is left when it stops. Its methods are safe for concurrent
// use.
type Provider struct {
	sdk        *sdktrace.TracerProvider
	spans      *pipeline // nil without an exporter
	propagator propagation.TextMapPropagator
	log        *slog.Logger
	timeout    time.Duration // negative for none
}

// TracerProvider returns what the TracerProvider field of the kit's options, and any OpenTelemetry instrumentation,
// takes. After the shutdown its spans go nowhere.
func (p *Provider) TracerProvider() trace.TracerProvider { return p.sdk }

// Propagator returns what the Propagator field of the kit's options takes: W3C trace context, W3C Baggage of the keys
// in Options.Baggage, and Options.Propagators.
func (p *Provider) Propagator() propagation.TextMapPropagator { return p.propagator }

// Lost counts the spans that were to be exported and were not: too many were waiting, the exporter returned an error,
// or time ran out at the shutdown. It only grows. A metric of it is a prometheus.NewCounterFunc of one line, see the
// example.
func (p *Provider) Lost() int64 {
	if p.spans == nil {
		return 0
	}
	return p.spans.lost()
}

// Run waits for the end of ctx, then shuts down within Options.ShutdownTimeout. It always returns nil: a collector that
// is gone is logged, and is no failure of the service.
func (p *Provider) Run(ctx context.Context) error {
	<-ctx.Done()
	ctx = context.WithoutCancel(ctx)
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	if err := p.Shutdown(ctx); err != nil {
		p.log.WarnContext(ctx, "tracing: stopped before the last spans were exported", "error", err)
	}
	return nil
}

// Shutdown exports what is left and shuts the exporter down. It is for programs that do not [Provider.Run] it; the
// first call alone does anything.
//
// It returns when ctx ends at the latest: the export under way is then cancelled, the spans still waiting are lost, and
// the error says so. Only an exporter that ignores its context lives on, in the goroutine that called it. Spans that
// the exporter refuses during the shutdown are counted and logged, as before, and are no error.
func (p *Provider) Shutdown(ctx context.Context) error {
	err := p.sdk.Shutdown(ctx)
	if p.spans != nil {
		// Once more, directly: with a ctx that has ended already the SDK leaves its processors running.
		err = cmp.Or(err, p.spans.Shutdown(ctx))
		p.spans.abandon()
	}
	if err != nil {
		return fmt.Errorf("tracing: shutdown: %d spans lost since the start: %w", p.Lost(), err)
	}
	if p.spans != nil {
		p.spans.report(true)
	}
	return nil
}

// String returns "tracing", the name of this runner.
func (p *Provider) String() string { return "tracing" }
