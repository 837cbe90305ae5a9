package tracing_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing"
)

// remote returns a context with a caller's span in it, which was sampled or not.
func remote(ctx context.Context, sampled bool) context.Context {
	var flags trace.TraceFlags
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		panic(err)
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags.WithSampled(sampled), TraceState: state,
		Remote: true,
	}))
}

func TestForcedSampling(t *testing.T) {
	const key = "sampling.priority"
	p := setup(t, tracing.Options{Ratio: -1}) // keeps nothing of its own accord
	tracer := p.TracerProvider().Tracer("test")
	start := func(ctx context.Context, attrs ...attribute.KeyValue) (context.Context, trace.SpanContext) {
		ctx, span := tracer.Start(ctx, "work", trace.WithAttributes(attrs...))
		defer span.End()
		return ctx, span.SpanContext()
	}
	for name, ctx := range map[string]context.Context{
		"OfARoot":            t.Context(),
		"BelowASampledOne":   remote(t.Context(), true),
		"BelowAnUnsampled":   remote(t.Context(), false),
		"BelowAnUnsampledIn": func() context.Context { ctx, _ := start(t.Context()); return ctx }(),
	} {
		t.Run(name, func(t *testing.T) {
			parent := trace.SpanContextFromContext(ctx)
			below, sc := start(ctx, attribute.String("a", "b"), attribute.Int(key, 1))
			if !sc.IsSampled() || parent.IsValid() && sc.TraceID() != parent.TraceID() {
				t.Errorf("got sampled %v in trace %v, want true in %v", sc.IsSampled(), sc.TraceID(), parent.TraceID())
			}
			if got, want := sc.TraceState().String(), parent.TraceState().String(); got != want {
				t.Errorf("got state %q, want the caller's, %q", got, want)
			}
			if _, child := start(below); !child.IsSampled() {
				t.Error("child: got unsampled, want sampled")
			}
		})
	}

	for name, c := range map[string]struct {
		attr attribute.KeyValue
		want bool
	}{
		"More":     {attribute.Int64(key, 1<<62), true},
		"Zero":     {attribute.Int(key, 0), false},
		"Negative": {attribute.Int64(key, -1<<63), false},
		"String":   {attribute.String(key, "1"), false},
		"Float":    {attribute.Float64(key, 1), false},
		"Boolean":  {attribute.Bool(key, true), false},
		"List":     {attribute.IntSlice(key, []int{1}), false},
		"OtherKey": {attribute.Int("Sampling.Priority", 1), false},
	} {
		t.Run("Value/"+name, func(t *testing.T) {
			for parent, ctx := range map[string]context.Context{"none": t.Context(), "unsampled": remote(t.Context(), false)} {
				if _, sc := start(ctx, c.attr); sc.IsSampled() != c.want {
					t.Errorf("parent %s: got sampled %v, want %v", parent, sc.IsSampled(), c.want)
				}
			}
		})
	}
}

// BenchmarkSampler has the decision alone, beside that of the SDK's sampler within.
func BenchmarkSampler(b *testing.B) {
	attrs := []attribute.KeyValue{
		attribute.String("http.request.method", "GET"), attribute.String("url.path", "/orders"),
		attribute.String("url.scheme", "https"), attribute.String("server.address", "orders.internal"),
	}
	sdk := sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.1))
	for name, c := range map[string]struct {
		sampler sdktrace.Sampler
		attrs   []attribute.KeyValue
	}{
		"SDK": {sdk, attrs}, "Kit": {tracing.NewSampler(0.1), attrs},
		"KitForced": {tracing.NewSampler(0.1), append(attrs[:4:4], attribute.Int("sampling.priority", 1))},
	} {
		b.Run(name, func(b *testing.B) {
			p := sdktrace.SamplingParameters{
				ParentContext: remote(b.Context(), false), TraceID: trace.TraceID{1}, Name: "work", Attributes: c.attrs,
			}
			b.ReportAllocs()
			for b.Loop() {
				c.sampler.ShouldSample(p)
			}
		})
	}
}
