package grpcclient_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
)

func TestPolicy(t *testing.T) {
	// run makes n calls that the service answers with code, and reports how many arrived and the last error.
	run := func(t *testing.T, code transport.Code, n int, o *grpcclient.Options) (arrived int, err error) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, o, &service{call: func(context.Context) error { return transport.Errorf(code, "x") }})
			for range n {
				err = r.unary(t.Context())
			}
			arrived, _ = r.seen()
			if got := r.samples(t); len(got) != 1 || got[unaryMethod+" "+strings.ToUpper(code.String())] != uint64(arrived) {
				t.Errorf("samples %v, want one for each of the %d attempts", got, arrived)
			}
		})
		return arrived, err
	}
	once := &resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1}}
	t.Run("OpensWhereTheServerFails", func(t *testing.T) {
		for code, opens := range map[transport.Code]bool{
			transport.Unavailable: true, transport.Internal: true, transport.NotFound: false, transport.InvalidArgument: false,
		} {
			arrived, err := run(t, code, 20, &grpcclient.Options{Policy: resilience.New("catalog", nil)})
			if want := map[bool]int{true: 5, false: 20}[opens]; arrived != want || errors.Is(err, resilience.ErrOpen) != opens {
				t.Errorf("%v: %d of 20 arrived, the last with %v, want %d", code, arrived, err, want)
			}
			if opens {
				if e := coded(t, err); e.Code != transport.Unavailable || e.Delay <= 0 {
					t.Errorf("an open breaker is %+v, want Unavailable with a delay", e)
				}
			}
		}
	})
	t.Run("RepeatsWhatIsIdempotent", func(t *testing.T) {
		for name, idempotent := range map[string][]string{
			"Method": {testpb.TestService_UnaryCall_FullMethodName}, "Service": {testpb.TestService_ServiceDesc.ServiceName},
		} {
			arrived, err := run(t, transport.Unavailable, 1, &grpcclient.Options{
				Policy: resilience.New("catalog", once), Idempotent: idempotent,
			})
			if arrived != 3 || coded(t, err).Code != transport.Unavailable {
				t.Errorf("%s: %d attempts, %v, want 3 and the server's error", name, arrived, err)
			}
		}
	})
	t.Run("RepeatsNothingElse", func(t *testing.T) {
		arrived, _ := run(t, transport.Unavailable, 1, &grpcclient.Options{
			Policy: resilience.New("catalog", once), Idempotent: []string{testpb.TestService_EmptyCall_FullMethodName},
		})
		if arrived != 1 {
			t.Errorf("%d attempts, want 1", arrived)
		}
		arrived, _ = run(t, transport.NotFound, 1, &grpcclient.Options{
			Policy: resilience.New("catalog", once), Idempotent: []string{testpb.TestService_UnaryCall_FullMethodName},
		})
		if arrived != 1 {
			t.Errorf("%d attempts of a not_found, want 1", arrived)
		}
	})
	t.Run("CancelledCallsAreNoFailures", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var hang atomic.Bool
			hang.Store(true)
			r := newRig(t, &grpcclient.Options{Policy: resilience.New("catalog", nil)}, &service{
				call: func(ctx context.Context) error {
					if hang.Load() {
						<-ctx.Done()
					}
					return nil
				},
			})
			for i := range 50 {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Millisecond, func() {
					if i%2 == 0 {
						cancel(errors.New("the page was left"))
						return
					}
					cancel(nil)
				})
				if e := coded(t, r.unary(ctx)); e.Code != transport.Canceled {
					t.Fatalf("got %v, want Canceled", e)
				}
			}
			hang.Store(false)
			if err := r.unary(t.Context()); err != nil {
				t.Errorf("the breaker opened: %v", err)
			}
		})
	})
	t.Run("AttemptsThatTimeOutAreFailures", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &grpcclient.Options{
				Policy: resilience.New("catalog", &resilience.Options{AttemptTimeout: time.Second}),
			}, &service{call: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}})
			for range 5 {
				if err := r.unary(t.Context()); coded(t, err).Code != transport.DeadlineExceeded {
					t.Fatalf("got %v, want DeadlineExceeded", err)
				}
			}
			if err := r.unary(t.Context()); !errors.Is(err, resilience.ErrOpen) {
				t.Errorf("got %v, want the breaker open", err)
			}
		})
	})
}
