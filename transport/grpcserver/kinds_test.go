package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// everyKind answers calls of all four kinds alike: it reads what comes, and does as the function says.
type everyKind struct {
	testpb.UnimplementedTestServiceServer
	handle func(context.Context) error
}

func (s *everyKind) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{}, s.handle(ctx)
}

func (s *everyKind) StreamingOutputCall(
	_ *testpb.StreamingOutputCallRequest, ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse],
) error {
	return s.handle(ss.Context())
}

func (s *everyKind) StreamingInputCall(
	ss grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse],
) error {
	for {
		_, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := s.handle(ss.Context()); err != nil {
		return err
	}
	return ss.SendAndClose(&testpb.StreamingInputCallResponse{})
}

func (s *everyKind) FullDuplexCall(
	ss grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse],
) error {
	if _, err := ss.Recv(); err != nil {
		return err
	}
	return s.handle(ss.Context())
}

// kind is one of the four kinds of calls.
type kind struct {
	method string
	call   func(ctx context.Context, c testpb.TestServiceClient, body []byte, header *metadata.MD) error
}

// kinds make a call with one message, and return its end, nil for a good one.
var kinds = map[string]kind{
	"Unary": {unaryMethod, func(ctx context.Context, c testpb.TestServiceClient, body []byte, header *metadata.MD) error {
		_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: body}}, grpc.Header(header))
		return err
	}},
	"ServerStream": {streamMethod,
		func(ctx context.Context, c testpb.TestServiceClient, body []byte, header *metadata.MD) error {
			ss, err := c.StreamingOutputCall(ctx,
				&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: body}}, grpc.Header(header))
			if err != nil {
				return err
			}
			return endOf(ss.Recv())
		}},
	"ClientStream": {"grpc.testing.TestService/StreamingInputCall",
		func(ctx context.Context, c testpb.TestServiceClient, body []byte, header *metadata.MD) error {
			ss, err := c.StreamingInputCall(ctx, grpc.Header(header))
			if err != nil {
				return err
			}
			_ = ss.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: body}}) // the end says why
			_, err = ss.CloseAndRecv()
			return err
		}},
	"BidiStream": {"grpc.testing.TestService/FullDuplexCall",
		func(ctx context.Context, c testpb.TestServiceClient, body []byte, header *metadata.MD) error {
			ss, err := c.FullDuplexCall(ctx, grpc.Header(header))
			if err != nil {
				return err
			}
			_ = ss.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: body}})
			if err := ss.CloseSend(); err != nil {
				return err
			}
			return endOf(ss.Recv())
		}},
}

// endOf is the end of a stream that has no messages.
func endOf(_ *testpb.StreamingOutputCallResponse, err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// forEveryKind runs a test with a server of each kind, alone in its bubble.
func forEveryKind(
	t *testing.T, o func() *grpcserver.Options, handle func(context.Context) error,
	test func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string),
) {
	t.Helper()
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(o()).serve(t, &everyKind{handle: handle})
				test(t, r, func(ctx context.Context) (header metadata.MD, err error) {
					err = k.call(ctx, r.client, nil, &header)
					return header, err
				}, k.method)
			})
		})
	}
}

func defaults() *grpcserver.Options { return &grpcserver.Options{} }

// counted fails unless the one call of a method was counted as code, and nothing is left active.
func (r *rig) counted(t *testing.T, method, code string) {
	t.Helper()
	synctest.Wait()
	if got := r.samples(t); got[method+" "+code] != 1 || len(got) != 1 || r.active(t) != 0 {
		t.Errorf("samples %v, %v active, want one of %s and none", got, r.active(t), code)
	}
	if lines, spans := r.log.all(t), r.spans.GetSpans(); len(lines) != 1 || lines[0]["code"] != code || len(spans) != 1 {
		t.Errorf("%d spans, log %v, want one of each with %s", len(spans), lines, code)
	}
}

// TestEveryKind holds every duty for unary calls and all kinds of streams: one that passes a stream by is the classic
// hole.
func TestEveryKind(t *testing.T) {
	t.Run("Correlates", func(t *testing.T) {
		var seen string
		forEveryKind(t, defaults, func(ctx context.Context) error {
			seen = correlation.FromContext(ctx)
			return nil
		}, func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
			header, err := call(metadata.AppendToOutgoingContext(t.Context(), "x-correlation-id", "c-1"))
			if got := header.Get("x-correlation-id"); err != nil || seen != "c-1" || !slices.Equal(got, []string{"c-1"}) {
				t.Errorf("context %q, header %q, %v, want c-1 in both", seen, got, err)
			}
			r.counted(t, method, "OK")
			if got := r.log.all(t)[0]["correlation_id"]; got != "c-1" {
				t.Errorf("log %v, want c-1", got)
			}
		})
	})
	t.Run("Authenticates", func(t *testing.T) {
		var seen []string
		forEveryKind(t, func() *grpcserver.Options { return &grpcserver.Options{Verifier: tokens} },
			func(ctx context.Context) error {
				p, _ := auth.FromContext(ctx)
				seen = append(seen, p.Subject)
				return nil
			}, func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
				seen = nil
				for token, want := range map[string]codes.Code{
					"": codes.Unauthenticated, "nonsense": codes.Unauthenticated, "user": codes.PermissionDenied,
				} {
					if _, err := call(withToken(t.Context(), token)); status.Code(err) != want || len(seen) > 0 {
						t.Errorf("token %q: %v, want %v; handler ran for %q", token, err, want, seen)
					}
				}
				_, err := call(withToken(t.Context(), "service"))
				if err != nil || !slices.Equal(seen, []string{"orders"}) {
					t.Errorf("handler ran for %q, %v, want orders", seen, err)
				}
				synctest.Wait()
				if got := r.samples(t); got[method+" UNAUTHENTICATED"] != 2 || got[method+" PERMISSION_DENIED"] != 1 {
					t.Errorf("samples %v, want what was refused", got)
				}
			})
	})
	t.Run("Recovers", func(t *testing.T) {
		forEveryKind(t, defaults, func(context.Context) error { panic("hunter2") }, isInternal("hunter2"))
	})
	t.Run("AnswersAHandlerThatEndsItsGoroutine", func(t *testing.T) {
		forEveryKind(t, defaults, func(context.Context) error {
			runtime.Goexit()
			return nil
		}, isInternal(nil))
	})
	t.Run("RecoversFromTrust", func(t *testing.T) {
		forEveryKind(t, func() *grpcserver.Options {
			return &grpcserver.Options{Trust: func(context.Context) bool { panic("no certificate") }}
		}, func(context.Context) error { return nil },
			func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
				_, err := call(t.Context())
				synctest.Wait()
				if got := r.samples(t); status.Code(err) != codes.Internal || got[method+" INTERNAL"] != 1 || r.active(t) != 0 {
					t.Errorf("%v, samples %v, want one Internal", err, got)
				}
			})
	})
	t.Run("EndsAtTheCallersDeadline", func(t *testing.T) {
		forEveryKind(t, defaults, untilItEnds, endsAfterASecond(func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, time.Second)
		}))
	})
	t.Run("EndsAtItsOwnDeadline", func(t *testing.T) {
		forEveryKind(t, func() *grpcserver.Options {
			return &grpcserver.Options{Timeout: time.Second, StreamTimeout: time.Second}
		}, untilItEnds, endsAfterASecond(func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, time.Hour)
		}))
	})
	t.Run("BoundsMessages", func(t *testing.T) {
		for name, k := range kinds {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(&grpcserver.Options{MaxReceiveBytes: 1 << 10}).serve(t, &everyKind{
						handle: func(context.Context) error { return nil },
					})
					err := k.call(t.Context(), r.client, make([]byte, 1025), &metadata.MD{})
					if status.Code(err) != codes.ResourceExhausted {
						t.Errorf("%v, want ResourceExhausted", err)
					}
					r.counted(t, k.method, "RESOURCE_EXHAUSTED")
				})
			})
		}
	})
	t.Run("MapsErrors", func(t *testing.T) {
		forEveryKind(t, defaults, func(context.Context) error {
			return fmt.Errorf("look up: %w", transport.Errorf(transport.NotFound, "no fish"))
		}, func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
			_, err := call(t.Context())
			if st := status.Convert(err); st.Code() != codes.NotFound || st.Message() != "no fish" {
				t.Errorf("%v, want NotFound and its message alone", err)
			}
			r.counted(t, method, "NOT_FOUND")
		})
	})
}

func untilItEnds(ctx context.Context) error {
	<-ctx.Done()
	return errors.New("driver: interrupted")
}

func isInternal(value any) func(*testing.T, *rig, func(context.Context) (metadata.MD, error), string) {
	return func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
		began := time.Now()
		_, err := call(t.Context())
		if st := status.Convert(err); st.Code() != codes.Internal || st.Message() != "internal error" {
			t.Errorf("%v, want Internal and nothing else", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("answered after %v, want at once", took)
		}
		r.counted(t, method, "INTERNAL")
		line := r.log.all(t)[0]
		stack, _ := line["stack"].(string)
		if line["level"] != "ERROR" || line["panic"] != value || !strings.Contains(stack, "everyKind") {
			t.Errorf("log %v, want the panic %v with its stack", line, value)
		}
		began = time.Now()
		if err := r.stop(); err != nil || time.Since(began) > time.Second {
			t.Errorf("Run = %v after %v: something is left of the call", err, time.Since(began))
		}
	}
}

func endsAfterASecond(
	within func(context.Context) (context.Context, func()),
) func(*testing.T, *rig, func(context.Context) (metadata.MD, error), string) {
	return func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
		ctx, cancel := within(t.Context())
		defer cancel()
		began := time.Now()
		_, err := call(ctx)
		if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != time.Second {
			t.Errorf("%v after %v, want DeadlineExceeded after 1s", err, took)
		}
		r.counted(t, method, "DEADLINE_EXCEEDED")
	}
}

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
