package resilience_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
)

// eager retries without a wait, and has no breaker that would end it sooner.
func eager(o resilience.Options) *resilience.Policy {
	o.Logger, o.Retry.MinBackoff, o.Breaker.ConsecutiveFailures = quiet(), -1, -1
	return resilience.New("p", &o)
}

func TestRetryBudget(t *testing.T) {
	t.Run("BoundsRetriesToAShareOfTheCalls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := eager(resilience.Options{})
			random := rand.New(rand.NewPCG(1, 2))
			start, calls, attempts := time.Now(), 0, 0
			for range 20_000 {
				time.Sleep(time.Duration(random.IntN(int(10 * time.Millisecond))))
				calls++
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) {
					attempts++
					if random.IntN(2) == 0 {
						return 0, errDown
					}
					return 1, nil
				})
				most := 10 + 0.2*float64(calls) + time.Since(start).Seconds()
				if retries := float64(attempts - calls); retries > most {
					t.Fatalf("%v retries of %d calls in %v, want %v at most", retries, calls, time.Since(start), most)
				}
			}
			// Half of the calls fail: a bound that is far below is none of ours.
			if retries, share := attempts-calls, float64(attempts-calls)/float64(calls); share < 0.2 {
				t.Errorf("%d retries of %d calls, want a fifth at least", retries, calls)
			}
		})
	})
	t.Run("LeavesItToThoseWhoCallSeldom", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := eager(resilience.Options{})
			for i := range 100 {
				n := 0
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { n++; return 0, errDown })
				if n != 3 {
					t.Fatalf("call %d: %d attempts, want 3", i, n)
				}
				time.Sleep(2 * time.Second)
			}
		})
	})
	t.Run("SavesNoMoreThanABurst", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := eager(resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: 1000}})
			for i := range 4 {
				n := 0
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) {
					n++
					if i == 0 && n == 6 {
						return 0, nil
					}
					return 0, errDown
				})
				if most := 11; n > most {
					t.Errorf("call %d, an hour after the one before: %d attempts, want %d at most", i, n, most)
				}
				time.Sleep(time.Hour)
			}
		})
	})
	t.Run("SaysThatItIsSpent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := eager(resilience.Options{})
			var err error
			for range 20 {
				err = call(t.Context(), p, errDown)
			}
			if !errors.Is(err, resilience.ErrRetryBudget) || !errors.Is(err, errDown) {
				t.Errorf("got %v, want one that matches ErrRetryBudget and %v", err, errDown)
			}
		})
	})
	t.Run("IsOnePerPolicy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := eager(resilience.Options{})
			for range 20 {
				_ = call(t.Context(), p, errDown)
			}
			if err := call(t.Context(), p.WithoutHedge(), errDown); !errors.Is(err, resilience.ErrRetryBudget) {
				t.Errorf("of a copy: got %v, want ErrRetryBudget", err)
			}
			if err := call(t.Context(), eager(resilience.Options{}), errDown); err != errDown {
				t.Errorf("of another policy: got %v, want %v itself", err, errDown)
			}
		})
	})
	t.Run("TakesAnyRatio", func(t *testing.T) {
		for _, ratio := range []float64{1e-9, 1, 1e300, math.Inf(1), math.NaN()} {
			p := eager(resilience.Options{Retry: resilience.RetryOptions{MaxRatio: ratio}})
			for range 100 {
				_ = call(t.Context(), p, errDown)
			}
			err := call(t.Context(), p, errDown)
			if got, want := errors.Is(err, resilience.ErrRetryBudget), ratio < 2; got != want {
				t.Errorf("%v: got %v, want that the budget is spent: %t", ratio, err, want)
			}
		}
	})
	t.Run("NegativeIsNone", func(t *testing.T) {
		p := eager(resilience.Options{Retry: resilience.RetryOptions{MaxRatio: -1}})
		for i := range 100 {
			if err := call(t.Context(), p, errDown); err != errDown {
				t.Fatalf("call %d: got %v, want %v itself", i, err, errDown)
			}
		}
	})
}
