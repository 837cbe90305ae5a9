package grpcserver_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// serveBare serves on a server that is not of the kit, under interceptors that are.
func serveBare(t *testing.T, is ...grpcserver.Interceptor) *grpc.ClientConn {
	t.Helper()
	return serveBareService(t, &service{}, is...)
}

func serveBareService(t *testing.T, svc testpb.TestServiceServer, is ...grpcserver.Interceptor) *grpc.ClientConn {
	t.Helper()
	var opts []grpc.ServerOption
	for _, i := range is {
		opts = append(opts, grpc.ChainUnaryInterceptor(i.Unary), grpc.ChainStreamInterceptor(i.Stream))
	}
	opts = append(opts, grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.Unimplemented, "a proxy would look")
	}))
	s := grpc.NewServer(opts...)
	testpb.RegisterTestServiceServer(s, svc)
	healthpb.RegisterHealthServer(s, health.NewServer())
	return serveOf(t, s)
}

// serveOf serves s on a network in memory until the test ends.
func serveOf(t *testing.T, s *grpc.Server) *grpc.ClientConn {
	t.Helper()
	ln := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	conn := dial(t, ln)
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		<-done
	})
	return conn
}

func TestInterceptor(t *testing.T) {
	t.Run("ObservesAServerThatIsThereAlready", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{log: &lines{}, spans: tracetest.NewInMemoryExporter(), reg: prometheus.NewRegistry()}
			observe := grpcserver.Observe(&grpcserver.ObserveOptions{
				Logger:         slog.New(slog.NewJSONHandler(r.log, nil)),
				TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans)),
				Registerer:     r.reg,
			})
			r.conn = serveBareService(t, &service{
				call: func(context.Context) error { panic("x") },
				stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
					return transport.Errorf(transport.NotFound, "no fish")
				},
			}, observe, grpcserver.Authenticate(tokens, nil))
			r.client = testpb.NewTestServiceClient(r.conn)

			if got := status.Code(r.call(t.Context())); got != codes.Unauthenticated {
				t.Errorf("no token: %v, want Unauthenticated", got)
			}
			if got := status.Code(r.call(withToken(t.Context(), "service"))); got != codes.Internal {
				t.Errorf("panic: %v, want Internal", got)
			}
			stream, err := r.client.StreamingOutputCall(withToken(t.Context(), "service"), &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "no fish") {
				t.Errorf("stream: %v, want NotFound", err)
			}
			err = r.conn.Invoke(withToken(t.Context(), "service"), "/no.such/Method", &testpb.Empty{}, &testpb.Empty{})
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("unknown method: %v, want Unimplemented", err)
			}
			if _, err := healthpb.NewHealthClient(r.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
				t.Errorf("health: %v", err)
			}
			synctest.Wait()
			got := r.samples(t)
			for _, want := range []string{
				unaryMethod + " UNAUTHENTICATED", unaryMethod + " INTERNAL", streamMethod + " NOT_FOUND", "_OTHER UNIMPLEMENTED",
			} {
				if got[want] != 1 {
					t.Errorf("samples %v, want one of %s", got, want)
				}
			}
			if len(got) != 4 || r.active(t) != 0 || len(r.log.all(t)) != 4 || len(r.spans.GetSpans()) != 4 {
				t.Errorf("samples %v, %v active, %d lines, %d spans, want 4 of each and none active",
					got, r.active(t), len(r.log.all(t)), len(r.spans.GetSpans()))
			}
		})
	})
	t.Run("PanicsOnAClashingMetric", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "rpc_server_active_calls"}))
		defer func() {
			if recover() == nil {
				t.Error("it did not")
			}
		}()
		grpcserver.Observe(&grpcserver.ObserveOptions{Registerer: reg})
	})
	t.Run("OfTheUserRunsInsideThePass", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{ServerOptions: []grpc.ServerOption{
				grpc.UnaryInterceptor(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
					panic(io.ErrUnexpectedEOF)
				}),
			}}).serve(t, &service{})
			if got := status.Code(r.call(t.Context())); got != codes.Internal {
				t.Errorf("%v, want Internal", got)
			}
			if got := r.samples(t)[unaryMethod+" INTERNAL"]; got != 1 {
				t.Errorf("counted %d times, want once", got)
			}
		})
	})
}
