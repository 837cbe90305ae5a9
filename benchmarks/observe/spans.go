package main

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing"
)

// spanTables have the span of a request whose trace is not kept: nine of ten, where one in ten is.
func spanTables() ([]table, error) {
	provider, err := tracing.Setup(context.Background(), &tracing.Options{ServiceName: "orders", Ratio: -1})
	if err != nil {
		return nil, err
	}
	kit := provider.TracerProvider()
	bare := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0))))
	called := trace.ContextWithRemoteSpanContext(context.Background(), trace.SpanContextFromContext(tracedContext()))
	for _, ctx := range []context.Context{called, context.Background()} {
		for name, p := range map[string]trace.TracerProvider{"mainstay": kit, "SDK": bare} {
			if err := leavesNothing(ctx, p); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	span := func(ctx context.Context, name string, attrs ...attribute.KeyValue) contest {
		return contest{name, spanOf(ctx, kit, attrs), spanOf(ctx, bare, attrs), target{}}
	}
	return []table{{"a span that is not kept", "SDK alone", []contest{
		span(called, "span, caller's trace"),
		span(context.Background(), "span, own trace"),
		span(called, "span, seven attributes", requestAttributes()...),
	}}}, nil
}

// requestAttributes are what otelhttp starts a span with, more or less.
func requestAttributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("http.request.method", "GET"), attribute.String("url.scheme", "http"),
		attribute.String("url.path", "/users/42"), attribute.String("server.address", "users"),
		attribute.String("client.address", "127.0.0.1"), attribute.String("user_agent.original", "benchmark/1.0"),
		attribute.String("network.protocol.version", "1.1"),
	}
}

func spanOf(ctx context.Context, p trace.TracerProvider, attrs []attribute.KeyValue) func() {
	tracer := p.Tracer("observe")
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	if len(attrs) > 0 {
		options = append(options, trace.WithAttributes(attrs...))
	}
	return func() {
		_, span := tracer.Start(ctx, "GET", options...)
		span.End()
	}
}

// leavesNothing reports where a span of p is kept, or does not continue the trace of ctx.
func leavesNothing(ctx context.Context, p trace.TracerProvider) error {
	_, span := p.Tracer("observe").Start(ctx, "GET")
	defer span.End()
	caller, sc := trace.SpanContextFromContext(ctx), span.SpanContext()
	if span.IsRecording() || sc.IsSampled() || !sc.IsValid() || caller.IsValid() && caller.TraceID() != sc.TraceID() {
		return fmt.Errorf("got %v, recording %v, want one of trace %s that is not kept",
			sc, span.IsRecording(), caller.TraceID())
	}
	return nil
}
