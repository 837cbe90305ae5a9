package resilience_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
)

const usual = 10 * time.Millisecond

// hedging returns a policy that has learnt that calls take the usual time.
func hedging(t *testing.T, o resilience.Options) *resilience.Policy {
	t.Helper()
	if o.Hedge == nil {
		o.Hedge = &resilience.HedgeOptions{}
	}
	o.Logger = quiet()
	p := resilience.New("p", &o)
	for range 19 {
		if _, err := resilience.Do(t.Context(), p, takes(usual, 0, nil)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// takes returns a function that returns v and err after d, or when its context ends.
func takes(d time.Duration, v int, err error) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		select {
		case <-time.After(d):
			return v, err
		case <-ctx.Done():
			return -v, ctx.Err()
		}
	}
}

// tries runs the first function as the first try, the next as the second, and so on.
type tries struct {
	n   atomic.Int32
	fns []func(context.Context) (int, error)
}

func inOrder(fns ...func(context.Context) (int, error)) *tries { return &tries{fns: fns} }

func (s *tries) do(ctx context.Context) (int, error) { return s.fns[s.n.Add(1)-1](ctx) }

func TestHedge(t *testing.T) {
	hang := takes(time.Hour, 1, nil)
	once := resilience.RetryOptions{MaxAttempts: -1}
	for _, c := range []struct {
		name    string
		o       resilience.Options
		tries   *tries
		want    int
		err     error
		took    time.Duration
		dropped []int
	}{
		{"SecondTryWins", resilience.Options{}, inOrder(hang, takes(time.Millisecond, 2, nil)), 2, nil, 11 * time.Millisecond, []int{-1}},
		{"FirstTryWins", resilience.Options{}, inOrder(takes(15*time.Millisecond, 1, nil), takes(time.Hour, 2, nil)),
			1, nil, 15 * time.Millisecond, []int{-2}},
		{"QuickCallIsNotHedged", resilience.Options{}, inOrder(takes(9*time.Millisecond, 1, nil)), 1, nil, 9 * time.Millisecond, nil},
		{"QuickFailureIsForRetry", resilience.Options{Retry: once}, inOrder(takes(time.Millisecond, 1, errDown)),
			1, errDown, time.Millisecond, nil},
		{"FirstFailsLateAndSecondAnswers", resilience.Options{},
			inOrder(takes(12*time.Millisecond, 1, errDown), takes(8*time.Millisecond, 2, nil)), 2, nil, 18 * time.Millisecond, []int{1}},
		{"SecondFailsAndFirstAnswers", resilience.Options{},
			inOrder(takes(20*time.Millisecond, 1, nil), takes(time.Millisecond, 2, errDown)), 1, nil, 20 * time.Millisecond, []int{2}},
		{"BothFailIsOneAttempt", resilience.Options{Retry: resilience.RetryOptions{MinBackoff: -1}},
			inOrder(takes(12*time.Millisecond, 1, errDown), takes(time.Millisecond, 2, errDown), takes(time.Millisecond, 3, nil)),
			3, nil, 13 * time.Millisecond, []int{2, 1}},
		{"AnswerThatIsAnErrorWins", resilience.Options{},
			inOrder(hang, takes(time.Millisecond, 2, resilience.Permanent(errDown))), 2, errDown, 11 * time.Millisecond, []int{-1}},
		{"MinDelayIsKept", resilience.Options{Hedge: &resilience.HedgeOptions{MinDelay: time.Second}},
			inOrder(hang, takes(0, 2, nil)), 2, nil, time.Second, []int{-1}},
		{"EachTryHasItsOwnTime", resilience.Options{AttemptTimeout: 15 * time.Millisecond, Retry: once},
			inOrder(takes(time.Hour, 1, nil), takes(13*time.Millisecond, 2, nil)), 2, nil, 23 * time.Millisecond, []int{-1}},
		{"TotalTimeBoundsBoth", resilience.Options{Timeout: 15 * time.Millisecond, Retry: once},
			inOrder(hang, takes(time.Hour, 2, nil)), -1, context.DeadlineExceeded, 15 * time.Millisecond, []int{-2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := hedging(t, c.o)
				start := time.Now()
				var dropped []int
				got, err := resilience.DoReleasing(t.Context(), p, c.tries.do, func(v int) { dropped = append(dropped, v) })
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("got %d, %v; want %d, %v", got, err, c.want, c.err)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if !equal(dropped, c.dropped) {
					t.Errorf("released %v, want %v", dropped, c.dropped)
				}
				if got := int(c.tries.n.Load()); got != len(c.tries.fns) {
					t.Errorf("%d tries, want %d", got, len(c.tries.fns))
				}
			})
		})
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestHedgeKnowsNothingAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := resilience.New("p", &resilience.Options{Hedge: &resilience.HedgeOptions{}})
		n := 0
		for range 19 {
			_, _ = resilience.Do(t.Context(), p, func(ctx context.Context) (int, error) { n++; return takes(usual, 0, nil)(ctx) })
		}
		if n != 19 {
			t.Errorf("%d tries of 19 calls, want 19", n)
		}
	})
}

func TestHedgeIsOffWhereItMustBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := hedging(t, resilience.Options{})
		for name, p := range map[string]*resilience.Policy{
			"WithoutHedge": full.WithoutHedge(), "WithoutRetry": full.WithoutRetry(), "nil": resilience.New("p", nil),
		} {
			s := inOrder(takes(time.Second, 1, nil), takes(0, 2, nil))
			if got, err := resilience.Do(t.Context(), p, s.do); got != 1 || err != nil || s.n.Load() != 1 {
				t.Errorf("%s: got %d, %v after %d tries; want 1, nil after 1", name, got, err, s.n.Load())
			}
		}
	})
}

// A loser says nothing of the dependency, and a breaker that is open, or half open with its probe under way, admits no
// second try.
func TestHedgeAndBreaker(t *testing.T) {
	t.Run("LoserIsIgnored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := hedging(t, resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1}})
			for range 5 {
				s := inOrder(takes(time.Hour, 1, nil), takes(0, 2, nil))
				if _, err := resilience.Do(t.Context(), p, s.do); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
	t.Run("ProbeIsAlone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := hedging(t, resilience.Options{
				Retry:   resilience.RetryOptions{MaxAttempts: -1},
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1, OpenFor: time.Second},
			})
			_ = call(t.Context(), p, errDown)
			time.Sleep(time.Second + 1)
			s := inOrder(takes(time.Second, 1, nil), takes(0, 2, nil))
			if got, err := resilience.Do(t.Context(), p, s.do); got != 1 || err != nil || s.n.Load() != 1 {
				t.Errorf("got %d, %v after %d tries; want 1, nil after 1", got, err, s.n.Load())
			}
		})
	})
	t.Run("EachTryCounts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := hedging(t, resilience.Options{
				Retry:   resilience.RetryOptions{MaxAttempts: -1},
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: 2},
			})
			s := inOrder(takes(20*time.Millisecond, 1, errDown), takes(0, 2, errDown))
			_, _ = resilience.Do(t.Context(), p, s.do)
			if err := call(t.Context(), p, nil); !errors.Is(err, resilience.ErrOpen) {
				t.Errorf("after two tries that failed: got %v, want ErrOpen", err)
			}
		})
	})
}

func TestHedgeKeepsItsShare(t *testing.T) {
	for name, c := range map[string]struct{ ratio, want float64 }{"Default": {0, 0.1}, "AFifth": {0.2, 0.2}, "All": {-1, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := hedging(t, resilience.Options{
					Timeout: -1, AttemptTimeout: -1, Hedge: &resilience.HedgeOptions{MaxRatio: c.ratio},
				})
				const calls = 300
				var tries atomic.Int64
				for n, d := 0, 2*usual; n < calls; n++ {
					d += d / 16 // so that the estimate never catches up
					if _, err := resilience.Do(t.Context(), p, func(ctx context.Context) (int, error) {
						tries.Add(1)
						return takes(d, 0, nil)(ctx)
					}); err != nil {
						t.Fatal(err)
					}
				}
				second := float64(tries.Load() - calls)
				if least, most := c.want*calls, c.want*calls+10; second < least || second > most {
					t.Errorf("%v second tries of %d calls, want %v to %v", second, calls, least, most)
				}
			})
		})
	}
}

func TestHedgeGivesTheCallerWhatASecondTryDoes(t *testing.T) {
	hang := takes(time.Hour, 1, nil)
	t.Run("Panic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := hedging(t, resilience.Options{})
			start := time.Now()
			defer func() {
				if v, took := recover(), time.Since(start); v != "second" || took != usual {
					t.Errorf("recovered %v after %v, want second at once, after %v", v, took, usual)
				}
			}()
			s := inOrder(hang, func(context.Context) (int, error) { panic("second") })
			_, err := resilience.Do(t.Context(), p, s.do)
			t.Errorf("returned %v, want a panic", err)
		})
	})
	t.Run("Goexit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := hedging(t, resilience.Options{})
			returned, start := false, time.Now()
			var wg sync.WaitGroup
			wg.Go(func() {
				s := inOrder(hang, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
				_, _ = resilience.Do(t.Context(), p, s.do)
				returned = true
			})
			wg.Wait()
			if took := time.Since(start); returned || took != usual {
				t.Errorf("Do returned: %t, after %v, want that its goroutine ended at once, after %v", returned, took, usual)
			}
		})
	})
	t.Run("PanicOfTheFirstLeavesNoSecond", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := hedging(t, resilience.Options{})
			released, start := 0, time.Now()
			defer func() {
				if v, took := recover(), time.Since(start); v != "first" || released != -2 || took != time.Second {
					t.Errorf("recovered %v having released %d after %v, want first and -2 at once, after 1s", v, released, took)
				}
			}()
			s := inOrder(func(context.Context) (int, error) { time.Sleep(time.Second); panic("first") }, takes(time.Hour, 2, nil))
			_, _ = resilience.DoReleasing(t.Context(), p, s.do, func(v int) { released = v })
		})
	})
}

func TestHedgeEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedging(t, resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		start := time.Now()
		s := inOrder(takes(time.Hour, 1, nil), takes(time.Hour, 2, nil))
		if _, err := resilience.Do(ctx, p, s.do); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if took := time.Since(start); took != 50*time.Millisecond {
			t.Errorf("took %v, want 50ms", took)
		}
		if err := call(t.Context(), p, nil); err != nil {
			t.Errorf("after a cancelled call: got %v, want nil", err)
		}
	})
}

// Calls that the second try won are slow ones too: where they did not count, ever more calls would be hedged.
func TestHedgeLearnsFromTheSlowerTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedging(t, resilience.Options{Hedge: &resilience.HedgeOptions{MaxRatio: -1}})
		var took time.Duration
		for range 50 {
			start := time.Now()
			s := inOrder(takes(time.Second, 1, nil), takes(0, 2, nil))
			if _, err := resilience.Do(t.Context(), p, s.do); err != nil {
				t.Fatal(err)
			}
			took = time.Since(start)
		}
		if took < 5*usual {
			t.Errorf("after 50 slow calls: the second try is sent after %v, want 50ms or more", took)
		}
	})
}

// An error that comes quickly says nothing of how long an answer takes: where it counted, a dependency that refuses
// for a while would be hedged at once when it works again.
func TestHedgeLearnsNothingFromFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedging(t, resilience.Options{
			Retry: resilience.RetryOptions{MaxAttempts: -1}, Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
		})
		for range 1000 {
			_ = call(t.Context(), p, errDown)
		}
		start := time.Now()
		s := inOrder(takes(time.Hour, 1, nil), takes(0, 2, nil))
		if _, err := resilience.Do(t.Context(), p, s.do); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != usual {
			t.Errorf("after 1000 quick failures: the second try is sent after %v, want %v as before", took, usual)
		}
	})
}

func TestHedgeEndsTheContextOfEachTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedging(t, resilience.Options{Timeout: -1, AttemptTimeout: -1, Retry: resilience.RetryOptions{MaxAttempts: -1}})
		var mu sync.Mutex
		var seen []context.Context
		_, _ = resilience.Do(t.Context(), p, func(ctx context.Context) (int, error) {
			mu.Lock()
			seen = append(seen, ctx)
			mu.Unlock()
			return takes(2*usual, 0, errDown)(ctx)
		})
		if len(seen) != 2 || seen[0].Err() == nil || seen[1].Err() == nil {
			t.Errorf("%d tries, want the contexts of two, both ended", len(seen))
		}
	})
}

// Whatever happens, each value is returned or released, once, and no more than two tries run at once.
func TestHedgeLosesNoValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := resilience.New("p", &resilience.Options{
			Logger: quiet(), AttemptTimeout: 30 * time.Millisecond, Hedge: &resilience.HedgeOptions{MaxRatio: -1, Quantile: 0.5},
			Retry: resilience.RetryOptions{MinBackoff: time.Millisecond, MaxRatio: -1}, Breaker: resilience.BreakerOptions{OpenFor: time.Millisecond},
		})
		var wg sync.WaitGroup
		for seed := range 200 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(seed), 0))
				for range 20 {
					loseNoValue(t, p, random)
				}
			})
		}
		wg.Wait()
	})
}

func loseNoValue(t *testing.T, p *resilience.Policy, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(200))*time.Millisecond)
	defer cancel()
	var mu sync.Mutex // of all below
	made, released, running := 0, make(map[int]int), 0
	got, _ := resilience.DoReleasing(ctx, p, func(ctx context.Context) (int, error) {
		mu.Lock()
		running++
		if running > 2 {
			t.Errorf("%d tries at once", running)
		}
		d, fails := time.Duration(random.IntN(40))*time.Millisecond, random.IntN(3) == 0
		mu.Unlock()
		var err error
		select {
		case <-time.After(d):
			if fails {
				err = errDown
			}
		case <-ctx.Done():
			err = ctx.Err()
		}
		mu.Lock()
		defer mu.Unlock()
		running--
		made++
		return made, err
	}, func(v int) { released[v]++ })
	if running != 0 {
		t.Errorf("%d tries left behind", running)
	}
	released[got]++
	for v := 1; v <= made; v++ {
		if released[v] != 1 {
			t.Errorf("value %d of %d was returned or released %d times, want once", v, made, released[v])
		}
	}
}
