package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/resilience"
)

// breakerPolicy returns a policy that shows its breaker alone: one attempt a call.
func breakerPolicy(o resilience.Options) *resilience.Policy {
	o.Retry.MaxAttempts = -1
	o.Logger = quiet()
	return resilience.New("p", &o)
}

// isOpen reports whether p's breaker refuses. It leaves the breaker as it was: an ignored probe counts for nothing.
func isOpen(p *resilience.Policy) bool {
	called := false
	_, err := resilience.Do(context.Background(), p, func(context.Context) (int, error) {
		called = true
		return 0, context.Canceled
	})
	return errors.Is(err, resilience.ErrOpen) && !called
}

func TestBreakerIgnoresCancelledCallers(t *testing.T) {
	cancelled := []struct {
		name string
		err  func(ctx context.Context) error
	}{
		{"Plain", func(ctx context.Context) error { return ctx.Err() }},
		{"Wrapped", func(ctx context.Context) error { return fmt.Errorf("get: %w", ctx.Err()) }},
		{"GRPC", func(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() }},
		{"Cause", context.Cause},
		{"Unrelated", func(context.Context) error { return io.ErrUnexpectedEOF }},
	}
	cancelledCall := func(p *resilience.Policy, f func(context.Context) error) {
		ctx, cancel := context.WithCancelCause(context.Background())
		_, _ = resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
			cancel(errors.New("left"))
			<-ctx.Done()
			return 0, f(ctx)
		})
	}
	for _, c := range cancelled {
		t.Run(c.name, func(t *testing.T) {
			p := breakerPolicy(resilience.Options{})
			for range 50 {
				cancelledCall(p, c.err)
			}
			if isOpen(p) {
				t.Fatal("50 cancelled callers opened the breaker")
			}
			for range 4 {
				_ = call(t.Context(), p, errDown)
			}
			cancelledCall(p, c.err)
			if isOpen(p) {
				t.Fatal("a cancelled caller counted as the fifth failure")
			}
			_ = call(t.Context(), p, errDown)
			if !isOpen(p) {
				t.Fatal("a cancelled caller ended the run of failures")
			}
		})
	}
}

func TestBreaker(t *testing.T) {
	hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }

	t.Run("OwnTimeoutsOpenIt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := breakerPolicy(resilience.Options{AttemptTimeout: time.Second})
			for range 5 {
				_, _ = resilience.Do(t.Context(), p, hang)
			}
			if !isOpen(p) {
				t.Error("closed after 5 time-outs per attempt")
			}
		})
	})
	t.Run("CallersDeadlinesOpenIt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := breakerPolicy(resilience.Options{})
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, _ = resilience.Do(ctx, p, hang)
				cancel()
			}
			if !isOpen(p) {
				t.Error("closed after 5 calls hung until their callers' deadlines")
			}
		})
	})
	t.Run("ASuccessEndsTheRun", func(t *testing.T) {
		p := breakerPolicy(resilience.Options{})
		for range 3 {
			for range 4 {
				_ = call(t.Context(), p, errDown)
			}
			_ = call(t.Context(), p, nil)
		}
		if isOpen(p) {
			t.Error("open, though no five failures were consecutive")
		}
	})
	t.Run("ANoIsASuccess", func(t *testing.T) {
		p := breakerPolicy(resilience.Options{})
		for range 3 {
			for range 4 {
				_ = call(t.Context(), p, errDown)
			}
			_ = call(t.Context(), p, resilience.Permanent(errDown))
		}
		if isOpen(p) {
			t.Error("open, though the dependency answered after every fourth failure")
		}
	})
	t.Run("RefusesWithoutCallingUntilOpenForHasPassed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := breakerPolicy(resilience.Options{
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1, OpenFor: 10 * time.Second},
			})
			_ = call(t.Context(), p, errDown)
			time.Sleep(4 * time.Second)
			err := call(t.Context(), p, nil)
			if !errors.Is(err, resilience.ErrOpen) {
				t.Fatalf("open: got %v, want one that matches ErrOpen", err)
			}
			if d, ok := resilience.RetryDelay(err); d != 6*time.Second || !ok {
				t.Errorf("RetryDelay: got %v, %v; want 6s, true", d, ok)
			}
			time.Sleep(6*time.Second + 1)
			if err := call(t.Context(), p, nil); err != nil {
				t.Errorf("the probe after 10s: got %v, want nil", err)
			}
			if err := call(t.Context(), p, nil); err != nil {
				t.Errorf("after the probe: got %v, want nil", err)
			}
		})
	})
	t.Run("ClosesAfterAllProbes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := breakerPolicy(resilience.Options{
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: 2, OpenFor: time.Second, HalfOpenProbes: 3},
			})
			_, _ = call(t.Context(), p, errDown), call(t.Context(), p, errDown)
			time.Sleep(time.Second + 1)
			_, _ = call(t.Context(), p, nil), call(t.Context(), p, nil)
			_ = call(t.Context(), p, errDown) // half open: one failure is enough
			if !isOpen(p) {
				t.Fatal("the third probe failed, and the breaker is not open")
			}
			time.Sleep(time.Second + 1)
			for range 3 {
				_ = call(t.Context(), p, nil)
			}
			_ = call(t.Context(), p, errDown) // closed: one failure is not enough
			if isOpen(p) {
				t.Error("three probes succeeded, and the breaker is not closed")
			}
		})
	})
	t.Run("IsSharedWithThePolicyWithoutRetry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("p", &resilience.Options{Logger: quiet()})
			once := p.WithoutRetry()
			n := 0
			for range 5 {
				_, _ = resilience.Do(t.Context(), once, func(context.Context) (int, error) { n++; return 0, errDown })
			}
			if n != 5 {
				t.Errorf("attempts of 5 calls: got %d, want 5", n)
			}
			if !isOpen(p) {
				t.Error("the policy that it came from is closed")
			}
		})
	})
	t.Run("NegativeIsNone", func(t *testing.T) {
		p := breakerPolicy(resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1}})
		for range 100 {
			_ = call(t.Context(), p, errDown)
		}
		if isOpen(p) {
			t.Error("open")
		}
	})
	t.Run("ForgetsWhatEndsAfterItOpened", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := breakerPolicy(resilience.Options{
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1, OpenFor: time.Second},
			})
			late := make(chan error)
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 0, <-late })
			})
			synctest.Wait()
			_ = call(t.Context(), p, errDown)
			time.Sleep(time.Second + 1)
			_ = call(t.Context(), p, nil) // closed again
			late <- errDown
			wg.Wait()
			if isOpen(p) {
				t.Error("a failure from before it opened opened it again")
			}
		})
	})
}

func TestProbeGivesItsSlotBack(t *testing.T) {
	const openFor = 10 * time.Second
	halfOpen := func(t *testing.T) *resilience.Policy {
		p := breakerPolicy(resilience.Options{
			AttemptTimeout: time.Second,
			Breaker:        resilience.BreakerOptions{ConsecutiveFailures: 1, OpenFor: openFor},
		})
		_ = call(t.Context(), p, errDown)
		time.Sleep(openFor + 1)
		return p
	}
	mustReopenFor := func(t *testing.T, p *resilience.Policy) {
		t.Helper()
		if !isOpen(p) {
			t.Fatal("not open after the probe failed")
		}
		time.Sleep(openFor + 1)
		if err := call(t.Context(), p, nil); err != nil {
			t.Errorf("next probe: got %v, want nil", err)
		}
	}
	t.Run("WhenItPanics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := halfOpen(t)
			func() {
				defer func() {
					if got := recover(); got != "boom" {
						t.Errorf("recovered %v, want boom", got)
					}
				}()
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { panic("boom") })
			}()
			mustReopenFor(t, p)
		})
	})
	t.Run("WhenItEndsItsGoroutine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := halfOpen(t)
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { t.SkipNow(); return 0, nil })
			})
			wg.Wait()
			mustReopenFor(t, p)
		})
	})
	t.Run("WhenItsCallerCancels", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := halfOpen(t)
			for range 10 {
				ctx, cancel := context.WithCancel(t.Context())
				_, _ = resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
					cancel()
					<-ctx.Done()
					return 0, ctx.Err()
				})
				if isOpen(p) {
					t.Fatal("a cancelled probe kept its slot")
				}
			}
			_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) {
				if !isOpen(p) {
					t.Error("the cancelled probes gave back more slots than they had")
				}
				return 0, nil
			})
			if isOpen(p) {
				t.Error("not closed after a probe that succeeded")
			}
		})
	})
	t.Run("WhenItNeverReturns", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := halfOpen(t)
			stuck := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { <-stuck; return 0, nil })
			})
			synctest.Wait()
			start := time.Now()
			if !isOpen(p) || time.Since(start) != 0 {
				t.Errorf("another call while the probe hangs: got admitted or %v, want refused at once", time.Since(start))
			}
			time.Sleep(time.Second)
			synctest.Wait()
			mustReopenFor(t, p)
			close(stuck)
			wg.Wait()
			if isOpen(p) {
				t.Error("the late end of the stuck probe opened the breaker")
			}
		})
	})
	t.Run("WhenManyWant", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := halfOpen(t)
			release := make(chan struct{})
			var mu sync.Mutex
			inside, refused := 0, 0
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					_, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) {
						mu.Lock()
						inside++
						mu.Unlock()
						<-release
						return 0, nil
					})
					if !errors.Is(err, resilience.ErrOpen) {
						return
					}
					if d, ok := resilience.RetryDelay(err); d != time.Second || !ok {
						t.Errorf("RetryDelay while a probe is under way: got %v, %v; want 1s, true", d, ok)
					}
					mu.Lock()
					refused++
					mu.Unlock()
				})
			}
			synctest.Wait()
			close(release)
			wg.Wait()
			if inside != 1 || refused != 99 {
				t.Errorf("admitted %d and refused %d, want 1 and 99", inside, refused)
			}
		})
	})
}

func TestBreakerClassifiesAnswers(t *testing.T) {
	refusedConn := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		name string
		o    resilience.Options
		err  error
		want bool
	}{
		{"ConnectionRefusedOpens", resilience.Options{}, refusedConn, true},
		{"UnknownErrorOpens", resilience.Options{}, errDown, true},
		{"GRPCUnavailableOpens", resilience.Options{}, status.Error(codes.Unavailable, "down"), true},
		{"PermanentDoesNot", resilience.Options{}, resilience.Permanent(status.Error(codes.NotFound, "no")), false},
		{"NotRetryableDoesNot", resilience.Options{}, refusal{}, false},
		{"BusyOpens", resilience.Options{}, resilience.RetryAfter(time.Minute, errDown), true},
		{"ClassifierDecides", resilience.Options{
			Classify: func(error) resilience.Outcome { return resilience.Success },
		}, errDown, false},
		{"ClassifierMayCountPermanentErrors", resilience.Options{
			Classify: func(error) resilience.Outcome { return resilience.Failure },
		}, resilience.Permanent(errDown), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := breakerPolicy(c.o)
			for range 5 {
				if err := call(t.Context(), p, c.err); err != c.err {
					t.Errorf("while closed: got %v, want %v itself", err, c.err)
				}
			}
			if got := errors.Is(call(t.Context(), p, nil), resilience.ErrOpen); got != c.want {
				t.Errorf("open: got %v, want %v", got, c.want)
			}
		})
	}
}

func TestBreakerIsExactUnderConcurrency(t *testing.T) {
	// Successes bypass gobreaker unless a run of failures is on. Whatever the two of them do to each other in a race, the
	// count has to be exact afterwards.
	p := breakerPolicy(resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1000}})
	for range 20 {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 100 {
					err := errDown
					if i%2 == 0 {
						err = nil
					}
					_ = call(context.Background(), p, err)
				}
			})
		}
		wg.Wait()
		if isOpen(p) {
			t.Fatal("open, though at most 400 failures came between successes")
		}
		_ = call(t.Context(), p, nil)
		for range 999 {
			_ = call(t.Context(), p, errDown)
		}
		if isOpen(p) {
			t.Fatal("open after 999 of 1000 consecutive failures")
		}
		_ = call(t.Context(), p, nil)
	}
	for range 1000 {
		_ = call(t.Context(), p, errDown)
	}
	if !isOpen(p) {
		t.Error("closed after 1000 consecutive failures")
	}
}

func TestBreakerLogsEveryChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &callingHandler{}
		p := resilience.New("payments", &resilience.Options{
			Logger:  slog.New(h),
			Retry:   resilience.RetryOptions{MaxAttempts: -1},
			Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1, OpenFor: time.Second},
		})
		h.policy = p
		_ = call(t.Context(), p, errDown)
		time.Sleep(time.Second + 1)
		_ = call(t.Context(), p, nil)
		want := []string{
			"WARN circuit breaker open policy=payments",
			"INFO circuit breaker half-open policy=payments",
			"INFO circuit breaker closed policy=payments",
		}
		if !slices.Equal(h.lines, want) {
			t.Errorf("got %q, want %q", h.lines, want)
		}
	})
}

// callingHandler makes a call under the policy that logs to it, as a handler that ships lines to that dependency would.
type callingHandler struct {
	slog.Handler // only Enabled and Handle are called
	policy       *resilience.Policy
	lines        []string
}

func (h *callingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *callingHandler) Handle(ctx context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	h.lines = append(h.lines, line)
	_ = call(ctx, h.policy, context.Canceled)
	return nil
}
