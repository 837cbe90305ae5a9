package resilience_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/resilience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("dependency down")

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// call makes one call that ends with err.
func call(ctx context.Context, p *resilience.Policy, err error) error {
	_, got := resilience.Do(ctx, p, func(context.Context) (struct{}, error) { return struct{}{}, err })
	return got
}

func TestDo(t *testing.T) {
	t.Run("ReturnsWhatTheFunctionReturns", func(t *testing.T) {
		p := resilience.New("p", nil)
		got, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 42, nil })
		if got != 42 || err != nil {
			t.Errorf("got %d, %v; want 42, nil", got, err)
		}
	})
	t.Run("ReturnsTheValueOfAFailedLastAttempt", func(t *testing.T) {
		p := resilience.New("p", &resilience.Options{Retry: resilience.RetryOptions{MinBackoff: -1}})
		n := 0
		got, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { n++; return n, errDown })
		if got != 3 || err != errDown {
			t.Errorf("got %d, %v; want 3, %v itself", got, err, errDown)
		}
	})
	t.Run("PassesTheCallersValues", func(t *testing.T) {
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "v")
		got, _ := resilience.Do(ctx, resilience.New("p", nil), func(ctx context.Context) (any, error) {
			return ctx.Value(key{}), nil
		})
		if got != "v" {
			t.Errorf("value in the attempt's context: got %v, want v", got)
		}
	})
	t.Run("AllocatesNothingWhenAllPasses", func(t *testing.T) {
		p := resilience.New("p", &resilience.Options{Timeout: -1, AttemptTimeout: -1})
		ctx := t.Context()
		pass := func() {
			_, _ = resilience.Do(ctx, p, func(context.Context) (int, error) { return 1, nil })
		}
		if n := testing.AllocsPerRun(100, pass); n != 0 {
			t.Errorf("allocations: got %v, want 0", n)
		}
		_ = call(ctx, p.WithoutRetry(), errDown)
		if n := testing.AllocsPerRun(100, pass); n != 0 {
			t.Errorf("allocations after a failure: got %v, want 0", n)
		}
	})
}

func TestTimeout(t *testing.T) {
	hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }

	for _, c := range []struct {
		name     string
		o        resilience.Options
		deadline time.Duration // of the caller; 0 is none
		want     time.Duration
		attempts int
	}{
		{"PerAttemptIsRetried", resilience.Options{
			Timeout: -1, AttemptTimeout: time.Second, Retry: resilience.RetryOptions{MinBackoff: -1},
		}, 0, 3 * time.Second, 3},
		{"TotalCutsTheLastAttempt", resilience.Options{
			Timeout: 2500 * time.Millisecond, AttemptTimeout: time.Second, Retry: resilience.RetryOptions{MinBackoff: -1},
		}, 0, 2500 * time.Millisecond, 3},
		{"TotalBoundsWithoutAnAttemptTimeout", resilience.Options{Timeout: time.Second, AttemptTimeout: -1}, 0, time.Second, 1},
		{"CallersDeadlineWins", resilience.Options{}, 500 * time.Millisecond, 500 * time.Millisecond, 1},
		{"DefaultTotalIs30s", resilience.Options{
			Retry: resilience.RetryOptions{MinBackoff: -1, MaxAttempts: 9},
		}, 0, 30 * time.Second, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				start, n := time.Now(), 0
				_, err := resilience.Do(ctx, resilience.New("p", &c.o), func(ctx context.Context) (int, error) {
					n++
					return hang(ctx)
				})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error: got %v, want one that matches context.DeadlineExceeded", err)
				}
				if got := time.Since(start); got != c.want {
					t.Errorf("returned after %v, want %v", got, c.want)
				}
				if n != c.attempts {
					t.Errorf("attempts: got %d, want %d", n, c.attempts)
				}
			})
		})
	}
	t.Run("NamesItsPolicy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := resilience.New("payments", &resilience.Options{AttemptTimeout: time.Second}).WithoutRetry()
			_, err := resilience.Do(t.Context(), p, hang)
			if want := `resilience: policy "payments": attempt timed out: context deadline exceeded`; err.Error() != want {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	})
	t.Run("CostsNothingBeyondTheCallersDeadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		p := resilience.New("p", &resilience.Options{Timeout: time.Hour, AttemptTimeout: time.Hour})
		n := testing.AllocsPerRun(100, func() {
			_, _ = resilience.Do(ctx, p, func(context.Context) (int, error) { return 1, nil })
		})
		if n != 0 {
			t.Errorf("allocations: got %v, want 0", n)
		}
	})
	t.Run("NegativeIsNone", func(t *testing.T) {
		p := resilience.New("p", &resilience.Options{Timeout: -1, AttemptTimeout: -1})
		_, _ = resilience.Do(t.Context(), p, func(ctx context.Context) (int, error) {
			if d, ok := ctx.Deadline(); ok {
				t.Errorf("the attempt has a deadline: %v", d)
			}
			return 0, nil
		})
	})
}
