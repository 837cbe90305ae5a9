package grpcserver_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// sampler keeps nothing but what begins with the attribute that asks for it.
type sampler struct{}

func (sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	res := sdktrace.SamplingResult{Decision: sdktrace.Drop}
	if slices.Contains(p.Attributes, attribute.Int("sampling.priority", 1)) {
		res.Decision = sdktrace.RecordAndSample
	}
	return res
}

func (sampler) Description() string { return "asked" }

func TestTrust(t *testing.T) {
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	sent := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "x-correlation-id", "c-1", "traceparent",
			"00-"+theirs+"-b7ad6b7169203331-01")
	}
	for name, trusted := range map[string]bool{"Trusted": true, "Stranger": false} {
		t.Run(name, func(t *testing.T) {
			var seen string
			forEveryKind(t, func() *grpcserver.Options {
				return &grpcserver.Options{Trust: func(context.Context) bool { return trusted }}
			}, func(ctx context.Context) error {
				seen = correlation.FromContext(ctx)
				return nil
			}, func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
				if _, err := call(sent(t.Context())); err != nil {
					t.Fatal(err)
				}
				r.counted(t, method, "OK")
				span := r.spans.GetSpans()[0]
				if (seen == "c-1") != trusted || !correlation.Valid(seen) {
					t.Errorf("correlation ID %q, want theirs: %t", seen, trusted)
				}
				if got := span.SpanContext.TraceID().String() == theirs; got != trusted || span.Parent.IsValid() != trusted {
					t.Errorf("in their trace: %t, parent %v, want %t", got, span.Parent, trusted)
				}
				linked := len(span.Links) == 1 && span.Links[0].SpanContext.TraceID().String() == theirs
				if linked == trusted || trusted && len(span.Links) > 0 {
					t.Errorf("links %v, want one to theirs: %t", span.Links, !trusted)
				}
			})
		})
	}
	for name, c := range map[string]struct {
		trust func(context.Context) bool
		value string
		want  int
	}{
		"TrustedMayAsk":      {func(context.Context) bool { return true }, "1", 1},
		"InOneWordOnly":      {func(context.Context) bool { return true }, "true", 0},
		"StrangersMayNot":    {func(context.Context) bool { return false }, "1", 0},
		"NobodyMayByDefault": {nil, "1", 0},
	} {
		t.Run("Sample/"+name, func(t *testing.T) {
			for _, k := range kinds {
				synctest.Test(t, func(t *testing.T) {
					spans := tracetest.NewInMemoryExporter()
					r := newRig(&grpcserver.Options{Trust: c.trust, TracerProvider: sdktrace.NewTracerProvider(
						sdktrace.WithSampler(sampler{}), sdktrace.WithSyncer(spans)),
					}).serve(t, &everyKind{handle: func(context.Context) error { return nil }})
					ctx := metadata.AppendToOutgoingContext(sent(t.Context()), "x-trace-sample", c.value)
					if err := k.call(ctx, r.client, nil, &metadata.MD{}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if got := len(spans.GetSpans()); got != c.want {
						t.Errorf("%s: %d spans kept, want %d", k.method, got, c.want)
					}
				})
			}
		})
	}
	t.Run("SeesThePeer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			r := newRig(&grpcserver.Options{Trust: func(ctx context.Context) bool {
				asked++
				p, ok := peer.FromContext(ctx)
				return ok && p.Addr != nil
			}}).serve(t, &everyKind{handle: func(context.Context) error { return nil }})
			var header metadata.MD
			_, err := r.client.UnaryCall(sent(t.Context()), &testpb.SimpleRequest{}, grpc.Header(&header))
			if got := header.Get("x-correlation-id"); err != nil || asked != 1 || !slices.Equal(got, []string{"c-1"}) {
				t.Errorf("asked %d times, header %q, %v, want once and c-1", asked, got, err)
			}
		})
	})
}
