package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
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
				if lines := r.log.all(t); len(lines) != 4 || lines[3]["principal"] != "orders" {
					t.Errorf("log %v, want who called in the last of 4 lines", lines)
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
