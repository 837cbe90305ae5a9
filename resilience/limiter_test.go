package resilience_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
)

func TestLimiter(t *testing.T) {
	t.Run("PassesTheQuotaAndSaysWhenTheNextOneIsThere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 3, Window: 30 * time.Second})
			for want := 2; want >= 0; want-- {
				if left, wait := l.Take(t.Context(), "k"); left != want || wait != 0 {
					t.Errorf("Take = %d, %v, want %d, 0", left, wait, want)
				}
			}
			left, wait := l.Take(t.Context(), "k")
			if left != 0 || wait < 9999*time.Millisecond || wait > 10*time.Second {
				t.Fatalf("with none left: Take = %d, %v, want 0, 10s", left, wait)
			}
			time.Sleep(wait + time.Microsecond)
			if _, wait := l.Take(t.Context(), "k"); wait != 0 {
				t.Errorf("after the wait that it asked for: another %v", wait)
			}
			if _, wait := l.Take(t.Context(), "other"); wait != 0 {
				t.Errorf("another key has to wait %v", wait)
			}
		})
	})
	t.Run("NeverPassesMoreThanItsBurstAndRate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const quota, window = 10, time.Second
			l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: quota, Window: window})
			random := rand.New(rand.NewPCG(1, 2))
			begin, passed := time.Now(), 0
			for range 20_000 {
				time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
				if _, wait := l.Take(t.Context(), "k"); wait == 0 {
					passed++
				}
				if most := quota * (1 + time.Since(begin).Seconds()/window.Seconds()); float64(passed) > most+1e-6 {
					t.Fatalf("%d passed in %v, want at most %v", passed, time.Since(begin), most)
				}
			}
			if least := quota * time.Since(begin).Seconds() * 0.99; float64(passed) < least {
				t.Errorf("%d passed in %v, want at least %v", passed, time.Since(begin), least)
			}
		})
	})
	t.Run("ForgetsTheKeySeenLeastRecently", func(t *testing.T) {
		l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 1, Window: time.Hour, Keys: 3})
		for _, key := range []string{"a", "b", "c", "a", "d"} { // d takes the place of b
			l.Take(t.Context(), key)
		}
		for _, c := range []struct {
			key    string
			passes bool
		}{{"a", false}, {"c", false}, {"d", false}, {"b", true}} {
			if _, wait := l.Take(t.Context(), c.key); (wait == 0) != c.passes {
				t.Errorf("%s: wait %v, want it to pass: %t", c.key, wait, c.passes)
			}
		}
	})
	t.Run("PassesAllWhenNegative", func(t *testing.T) {
		l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: -1})
		for range 1000 {
			if _, wait := l.Take(t.Context(), "k"); wait != 0 {
				t.Fatalf("wait %v, want none", wait)
			}
		}
		if quota, window := l.Policy(); quota != 0 || window != 0 {
			t.Errorf("Policy = %d, %v, want none", quota, window)
		}
	})
	t.Run("HoldsItsQuotaAmongManyCallers", func(t *testing.T) {
		l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 100, Window: 24 * time.Hour, Keys: 4})
		var passed [8]atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 1000 {
					k := i % 4
					if _, wait := l.Take(t.Context(), fmt.Sprint(k)); wait == 0 {
						passed[k].Add(1)
					}
				}
			})
		}
		wg.Wait()
		for k := range 4 {
			if n := passed[k].Load(); n != 100 {
				t.Errorf("key %d: %d passed, want 100", k, n)
			}
		}
	})
}

func TestShedder(t *testing.T) {
	fill := func(s *resilience.Shedder, priority int) (n int) {
		for n < 1000 && s.Enter(priority) {
			n++
		}
		return n
	}
	t.Run("RefusesTheLeastImportantFirst", func(t *testing.T) {
		s := resilience.NewShedder(&resilience.ShedderOptions{Limit: 10})
		for _, c := range []struct{ priority, want int }{{-1, 5}, {0, 4}, {1, 1}, {100, 0}} {
			if got := fill(s, c.priority); got != c.want {
				t.Errorf("priority %d: %d more, want %d", c.priority, got, c.want)
			}
		}
		s.Leave(time.Second, false)
		if s.Enter(0) || !s.Enter(1) || s.Running() != 10 {
			t.Errorf("one room left: want it for what is important only; %d run", s.Running())
		}
	})
	t.Run("HasRoomForOneOfAnyPriority", func(t *testing.T) {
		for _, priority := range []int{-1, 0, 1} {
			if got := fill(resilience.NewShedder(&resilience.ShedderOptions{Limit: 1}), priority); got != 1 {
				t.Errorf("priority %d: %d, want 1", priority, got)
			}
		}
	})
	t.Run("RefusesNothingWhenNegative", func(t *testing.T) {
		if got := fill(resilience.NewShedder(&resilience.ShedderOptions{Limit: -1}), -1); got != 1000 {
			t.Errorf("%d, want all 1000", got)
		}
	})
	t.Run("NeverExceedsItsLimit", func(t *testing.T) {
		s := resilience.NewShedder(&resilience.ShedderOptions{Limit: 1})
		var inside, exceeded, entered atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for entered.Load() < 100_000 {
					if !s.Enter(1) {
						continue
					}
					entered.Add(1)
					if inside.Add(1) > 1 {
						exceeded.Add(1)
					}
					inside.Add(-1)
					s.Leave(0, false)
				}
			})
		}
		wg.Wait()
		if exceeded.Load() > 0 || s.Running() != 0 {
			t.Errorf("%d of %d were not alone, %d still run", exceeded.Load(), entered.Load(), s.Running())
		}
	})
}

func BenchmarkLimiter(b *testing.B) {
	l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 1 << 30, Window: time.Second})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		l.Take(ctx, "203.0.113.7")
	}
}

func BenchmarkShedder(b *testing.B) {
	s := resilience.NewShedder(nil)
	b.ReportAllocs()
	for b.Loop() {
		if s.Enter(0) {
			s.Leave(0, false)
		}
	}
}
