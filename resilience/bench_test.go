package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
)

// BenchmarkDo shows what a policy adds to a call that passes: "Bare" is the call alone.
func BenchmarkDo(b *testing.B) {
	work := func(context.Context) (int, error) { return 1, nil }
	none := resilience.New("none", &resilience.Options{Timeout: -1, AttemptTimeout: -1})
	bounded := resilience.New("bounded", nil)
	lax := resilience.New("lax", &resilience.Options{Timeout: time.Hour, AttemptTimeout: time.Hour})
	hedging := resilience.New("hedging", &resilience.Options{
		Timeout: -1, AttemptTimeout: -1, Hedge: &resilience.HedgeOptions{MinDelay: time.Hour},
	})
	soon, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	b.Run("Bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = work(context.Background())
		}
	})
	for _, c := range []struct {
		name string
		ctx  context.Context
		p    *resilience.Policy
	}{
		{"RetryAndBreaker", context.Background(), none},
		{"TimeoutsBeyondTheCallersDeadline", soon, lax},
		{"Timeouts", context.Background(), bounded},
		{"HedgeThatIsNotNeeded", context.Background(), hedging},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = resilience.Do(c.ctx, c.p, work)
			}
		})
	}
	b.Run("Parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = resilience.Do(context.Background(), none, work)
			}
		})
	})
	b.Run("Open", func(b *testing.B) {
		p := resilience.New("open", &resilience.Options{
			Logger: quiet(), Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1, OpenFor: time.Hour},
		}).WithoutRetry()
		_ = call(context.Background(), p, errDown)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = resilience.Do(context.Background(), p, work)
		}
	})
}
