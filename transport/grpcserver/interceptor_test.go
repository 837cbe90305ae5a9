package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/tracing/correlation"
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
}

// at returns an interceptor that does f before each call of either kind.
func at(f func(ctx context.Context, full string) error) grpcserver.Interceptor {
	return grpcserver.Interceptor{
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := f(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, req)
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := f(ss.Context(), info.FullMethod); err != nil {
				return err
			}
			return next(srv, ss)
		},
	}
}

// givenAs are the ways to give a server a layer behind authentication.
var givenAs = map[string]func(grpcserver.Interceptor) *grpcserver.Options{
	"Interceptors": func(i grpcserver.Interceptor) *grpcserver.Options {
		return &grpcserver.Options{Interceptors: []grpcserver.Interceptor{i}}
	},
	"ServerOptions": func(i grpcserver.Interceptor) *grpcserver.Options {
		return &grpcserver.Options{ServerOptions: []grpc.ServerOption{
			grpc.UnaryInterceptor(i.Unary), grpc.ChainStreamInterceptor(i.Stream),
		}}
	},
}

func TestInside(t *testing.T) {
	for name, given := range givenAs {
		t.Run(name+"/RecoversAndCounts", func(t *testing.T) {
			forEveryKind(t, func() *grpcserver.Options {
				return given(at(func(context.Context, string) error { panic("hunter2") }))
			}, func(context.Context) error { return nil },
				func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
					if _, err := call(t.Context()); status.Code(err) != codes.Internal {
						t.Errorf("%v, want Internal", err)
					}
					r.counted(t, method, "INTERNAL")
				})
		})
		t.Run(name+"/KnowsTheCaller", func(t *testing.T) {
			var seen []string
			forEveryKind(t, func() *grpcserver.Options {
				o := given(at(func(ctx context.Context, full string) error {
					p, _ := auth.FromContext(ctx)
					seen = append(seen, p.Subject, full)
					return nil
				}))
				o.Verifier = tokens
				return o
			}, func(context.Context) error { return nil },
				func(t *testing.T, _ *rig, call func(context.Context) (metadata.MD, error), method string) {
					seen = nil
					if _, err := call(t.Context()); status.Code(err) != codes.Unauthenticated || len(seen) > 0 {
						t.Errorf("without a token: %v, and it ran for %q", err, seen)
					}
					_, err := call(withToken(t.Context(), "service"))
					if want := []string{"orders", "/" + method}; err != nil || !slices.Equal(seen, want) {
						t.Errorf("%v, it ran for %q, want %q", err, seen, want)
					}
				})
		})
	}
	t.Run("RefusesASecondFirstOne", func(t *testing.T) {
		for name, i := range map[string]*grpcserver.Options{
			"ServerOptions": {ServerOptions: []grpc.ServerOption{
				grpc.StreamInterceptor(at(nil).Stream),
			}},
			"one kind of calls only": {BeforeAuth: []grpcserver.Interceptor{{Unary: at(nil).Unary}}},
		} {
			o := open()
			i.Unauthenticated, i.Registerer, i.Addr = true, o.Registerer, o.Addr
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a clean end where it is wrong
			defer cancel()
			if err := grpcserver.New(i).Run(ctx); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("Run = %v, want an error with %q", err, name)
			}
		}
	})
	t.Run("LeavesNoMethodOutside", func(t *testing.T) {
		// The library calls no interceptor for a stream that neither side is said to send.
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{Verifier: tokens})
			ran := 0
			r.RegisterService(&grpc.ServiceDesc{ServiceName: "by.Hand", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
				StreamName: "Neither", Handler: func(any, grpc.ServerStream) error { ran++; return nil },
			}}}, nil)
			r.serve(t, &service{})
			for token, want := range map[string]codes.Code{"": codes.Unauthenticated, "service": codes.OK} {
				ss, err := r.conn.NewStream(withToken(t.Context(), token),
					&grpc.StreamDesc{ServerStreams: true}, "/by.Hand/Neither")
				if err != nil {
					t.Fatal(err)
				}
				err = ss.RecvMsg(&testpb.Empty{})
				if errors.Is(err, io.EOF) {
					err = nil
				}
				if status.Code(err) != want {
					t.Errorf("token %q: %v, want %v", token, err, want)
				}
			}
			synctest.Wait()
			if got := r.samples(t); ran != 1 || got["by.Hand/Neither UNAUTHENTICATED"] != 1 || got["by.Hand/Neither OK"] != 1 {
				t.Errorf("it ran %d times, samples %v, want once, and one of each", ran, got)
			}
		})
	})
}

func TestBeforeAuth(t *testing.T) {
	var order []string
	note := func(name string) grpcserver.Interceptor {
		return at(func(ctx context.Context, full string) error {
			_, known := auth.FromContext(ctx)
			order = append(order, fmt.Sprint(name, " ", full, " ", known, " ", correlation.FromContext(ctx)))
			return nil
		})
	}
	verify := auth.VerifierFunc(func(ctx context.Context, token string) (auth.Principal, error) {
		order = append(order, "auth")
		return tokens.Verify(ctx, token)
	})
	t.Run("RunsOutsideOfAuthenticationInOrder", func(t *testing.T) {
		forEveryKind(t, func() *grpcserver.Options {
			return &grpcserver.Options{
				BeforeAuth: []grpcserver.Interceptor{note("a"), note("b"), note("c")}, Verifier: verify,
				Interceptors: []grpcserver.Interceptor{note("d"), note("e")},
			}
		}, func(ctx context.Context) error {
			p, _ := auth.FromContext(ctx)
			order = append(order, p.Subject)
			return nil
		}, func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
			order = nil
			ctx := metadata.AppendToOutgoingContext(withToken(t.Context(), "service"), "x-correlation-id", "c-1")
			_, err := call(ctx)
			outside, inside := " /"+method+" false c-1", " /"+method+" true c-1"
			want := []string{"a" + outside, "b" + outside, "c" + outside, "auth", "d" + inside, "e" + inside, "orders"}
			if err != nil || !slices.Equal(order, want) {
				t.Errorf("%v, order %q, want %q", err, order, want)
			}
			r.counted(t, method, "OK")
		})
	})
	t.Run("RefusesWithoutALookAtTheToken", func(t *testing.T) {
		forEveryKind(t, func() *grpcserver.Options {
			return &grpcserver.Options{Verifier: verify, BeforeAuth: []grpcserver.Interceptor{
				at(func(context.Context, string) error { return transport.Errorf(transport.Unavailable, "full") }),
			}}
		}, func(context.Context) error { return nil },
			func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
				order = nil
				if _, err := call(withToken(t.Context(), "service")); status.Code(err) != codes.Unavailable || len(order) > 0 {
					t.Errorf("%v, and it ran %q, want Unavailable and nothing", err, order)
				}
				r.counted(t, method, "UNAVAILABLE")
			})
	})
	t.Run("MayWrapTheStream", func(t *testing.T) {
		forEveryKind(t, func() *grpcserver.Options {
			return &grpcserver.Options{Verifier: tokens, BeforeAuth: []grpcserver.Interceptor{grpcserver.Validate()}}
		}, func(ctx context.Context) error {
			if _, ok := auth.FromContext(ctx); !ok {
				return errors.New("the context is another")
			}
			return nil
		}, func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
			if _, err := call(withToken(t.Context(), "service")); err != nil {
				t.Error(err)
			}
			r.counted(t, method, "OK")
		})
	})
	t.Run("SeesMethodsThatNobodyRegistered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{
				BeforeAuth: []grpcserver.Interceptor{note("a")}, Verifier: tokens,
			}).serve(t, &service{})
			order = nil
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-correlation-id", "c-1")
			err := r.conn.Invoke(ctx, "/no.such/Method", &testpb.Empty{}, &testpb.Empty{})
			want := []string{"a /no.such/Method false c-1"}
			if status.Code(err) != codes.Unimplemented || !slices.Equal(order, want) {
				t.Errorf("%v, order %q, want Unimplemented and %q", err, order, want)
			}
		})
	})
}
