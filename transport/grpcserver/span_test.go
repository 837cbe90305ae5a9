package grpcserver_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// TestSpanOfSomebodyElse has a layer outside that begins a span for each call, as otelgrpc's stats handler does.
func TestSpanOfSomebodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		kind   trace.SpanKind
		remote bool // it is only named, as by a stats handler that leaves the call out
		want   []string
	}{
		"OfTheServerIsTaken":   {trace.SpanKindServer, false, []string{"outer"}},
		"WithinTheCallIsBelow": {trace.SpanKindInternal, false, []string{unaryMethod, "outer"}},
		"FromAfarIsAParent":    {trace.SpanKindServer, true, []string{unaryMethod, "outer"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spans := tracetest.NewInMemoryExporter()
				tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
				var seen trace.SpanContext
				outer := grpcserver.Interceptor{
					Unary: func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
						ctx, span := tp.Tracer("outer").Start(ctx, "outer", trace.WithSpanKind(c.kind))
						defer span.End()
						if c.remote {
							ctx = trace.ContextWithRemoteSpanContext(ctx, span.SpanContext())
						}
						res, err := next(ctx, req)
						if !span.IsRecording() {
							t.Error("the span was ended by somebody else")
						}
						return res, err
					},
					Stream: func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
						return next(srv, ss)
					},
				}
				r := &rig{log: &lines{}, reg: prometheus.NewRegistry()}
				observe := grpcserver.Observe(&grpcserver.ObserveOptions{
					Logger: slog.New(slog.NewJSONHandler(r.log, nil)), TracerProvider: tp, Registerer: r.reg,
				})
				conn := serveBareService(t, &everyKind{handle: func(ctx context.Context) error {
					seen = trace.SpanContextFromContext(ctx)
					return nil
				}}, outer, observe)
				if _, err := testpb.NewTestServiceClient(conn).UnaryCall(t.Context(), &testpb.SimpleRequest{}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var got []string
				for _, s := range spans.GetSpans() {
					got = append(got, s.Name)
				}
				if !slices.Equal(got, c.want) || !slices.ContainsFunc(spans.GetSpans(), func(s tracetest.SpanStub) bool {
					return s.SpanContext.SpanID() == seen.SpanID()
				}) {
					t.Errorf("spans %q, want %q, one of them the handler's %v", got, c.want, seen.SpanID())
				}
				if got := r.samples(t)[unaryMethod+" OK"]; got != 1 {
					t.Errorf("%d samples, want 1", got)
				}
			})
		})
	}
}
