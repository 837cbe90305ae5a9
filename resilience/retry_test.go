package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
)

func TestRetry(t *testing.T) {
	t.Run("UntilSuccess", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, n := resilience.New("p", nil), 0
			got, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) {
				if n++; n < 3 {
					return 0, errDown
				}
				return n, nil
			})
			if got != 3 || err != nil {
				t.Errorf("got %d, %v; want 3, nil", got, err)
			}
		})
	})
	t.Run("WaitsLongerEachTimeUpToTheBound", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("p", &resilience.Options{
				Timeout: -1,
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
				Retry:   resilience.RetryOptions{MaxAttempts: 6, MinBackoff: time.Second, MaxBackoff: 5 * time.Second},
			})
			most := []time.Duration{2, 4, 5, 5, 5} // seconds
			seen := map[time.Duration]bool{}
			for range 100 {
				n, last := 0, time.Time{}
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) {
					if n > 0 {
						wait := time.Since(last)
						seen[wait] = true
						if wait < time.Second || wait > most[n-1]*time.Second {
							t.Errorf("wait %d: got %v, want [1s, %v]", n, wait, most[n-1]*time.Second)
						}
					}
					n, last = n+1, time.Now()
					return 0, errDown
				})
			}
			if len(seen) < 400 {
				t.Errorf("500 waits have %d distinct values, want at least 400", len(seen))
			}
		})
	})
	t.Run("MaxBackoffBoundsTheDefaultMinimum", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("p", &resilience.Options{Retry: resilience.RetryOptions{MaxBackoff: time.Millisecond}})
			start := time.Now()
			_ = call(t.Context(), p, errDown)
			if got, want := time.Since(start), 2*time.Millisecond; got != want {
				t.Errorf("two waits took %v, want %v", got, want)
			}
		})
	})
	t.Run("WaitsAsLongAsTheDependencyAsks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("p", &resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: 2, MinBackoff: -1}})
			start := time.Now()
			_ = call(t.Context(), p, fmt.Errorf("busy: %w", resilience.RetryAfter(7*time.Second, errDown)))
			if got, want := time.Since(start), 7*time.Second; got != want {
				t.Errorf("waited %v, want %v", got, want)
			}
		})
	})
	t.Run("DoesNotWaitLongerThanMaxRetryAfter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("p", &resilience.Options{Timeout: -1})
			start, n := time.Now(), 0
			asked := resilience.RetryAfter(31*time.Second, errDown)
			_, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { n++; return 0, asked })
			if err != asked || n != 1 || time.Since(start) != 0 {
				t.Errorf("got %v after %d attempts and %v; want %v after 1 and 0s", err, n, time.Since(start), asked)
			}
		})
	})
	t.Run("SurvivesAnAbsurdRequest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("p", &resilience.Options{Timeout: -1, Retry: resilience.RetryOptions{MaxRetryAfter: -1}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			n := 0
			_, err := resilience.Do(ctx, p, func(context.Context) (int, error) {
				n++
				return 0, resilience.RetryAfter(1<<63-1, errDown)
			})
			if n != 1 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v after %d attempts, want context.DeadlineExceeded after 1", err, n)
			}
		})
	})
	for _, c := range []struct {
		name     string
		err      error
		attempts int
	}{
		{"Failures", errDown, 3},
		{"NotPermanentErrors", fmt.Errorf("wrapped: %w", resilience.Permanent(errDown)), 1},
		{"NotErrorsThatSayNo", refusal{}, 1},
		{"ErrorsThatAskToWaitWhateverTheyWrap", resilience.RetryAfter(0, refusal{}), 3},
		{"NotAnotherPolicysRefusal", fmt.Errorf("inner: %w", resilience.ErrOpen), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				_, err := resilience.Do(t.Context(), resilience.New("p", nil), func(context.Context) (int, error) {
					n++
					return 0, c.err
				})
				if n != c.attempts || err != c.err {
					t.Errorf("got %v after %d attempts, want %v after %d", err, n, c.err, c.attempts)
				}
			})
		})
	}
	t.Run("NegativeIsOneAttempt", func(t *testing.T) {
		n := 0
		p := resilience.New("p", &resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: -1}})
		_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { n++; return 0, errDown })
		if n != 1 {
			t.Errorf("attempts: got %d, want 1", n)
		}
	})
}

// refusal is an error type of a dependency that says itself that it is not worth another attempt.
type refusal struct{}

func (refusal) Error() string   { return "no such order" }
func (refusal) Retryable() bool { return false }

func TestRetryEnds(t *testing.T) {
	slow := func() *resilience.Policy {
		return resilience.New("p", &resilience.Options{Timeout: -1})
	}
	// The wait of RetryAfter is exact, where a back-off is drawn.
	failed := resilience.RetryAfter(10*time.Second, errDown)
	cause := errors.New("user closed the tab")

	for _, c := range []struct {
		name  string
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		wants []error
		after time.Duration
	}{
		{"WhenCancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		}, []error{context.Canceled, errDown}, 100 * time.Millisecond},
		{"WhenCancelledWithACause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, cause, errDown}, 100 * time.Millisecond},
		{"AtOnceWhenTheDeadlineIsNearerThanTheNextAttempt", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 9*time.Second)
		}, []error{context.DeadlineExceeded, errDown}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := c.ctx(t.Context())
				defer cancel()
				start, n := time.Now(), 0
				_, err := resilience.Do(ctx, slow(), func(context.Context) (int, error) { n++; return 0, failed })
				for _, want := range c.wants {
					if !errors.Is(err, want) {
						t.Errorf("error %v does not match %v", err, want)
					}
				}
				if got := time.Since(start); got != c.after || n != 1 {
					t.Errorf("returned after %v and %d attempts, want %v and 1", got, n, c.after)
				}
			})
		})
	}
	t.Run("BeforeTheFirstAttemptOfACancelledCaller", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		n := 0
		_, err := resilience.Do(ctx, slow(), func(context.Context) (int, error) { n++; return 0, nil })
		if n != 0 || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("got %v after %d attempts, want Canceled with its cause after 0", err, n)
		}
	})
	t.Run("WhenTheBreakerOpens", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("p", &resilience.Options{
				Logger:  quiet(),
				Retry:   resilience.RetryOptions{MaxAttempts: 10},
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: 2, OpenFor: time.Minute},
			})
			start, n := time.Now(), 0
			got, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) {
				n++
				return n, resilience.RetryAfter(10*time.Second, errDown)
			})
			if n != 2 || got != 2 || !errors.Is(err, resilience.ErrOpen) || !errors.Is(err, errDown) {
				t.Errorf("got %d, %v after %d attempts; want 2, an error that matches ErrOpen and %v after 2", got, err, n, errDown)
			}
			if got := time.Since(start).Truncate(time.Second); got != 10*time.Second {
				t.Errorf("returned after %v, want 10s: no wait for an attempt that would be refused", got)
			}
		})
	})
}
