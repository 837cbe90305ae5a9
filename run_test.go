package mainstay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// scene is one Run in a synctest bubble: fake runners that write down what happens to them and when.
type scene struct {
	t       *testing.T
	begin   time.Time
	signals chan os.Signal
	release chan struct{} // ends the runners that ignore their context
	options Options

	mu     sync.Mutex
	events []string
}

// play runs f in a bubble of its own and, whatever f did, ends the runners that it left behind.
func play(t *testing.T, name string, f func(s *scene)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &scene{
				t: t, begin: time.Now(), signals: make(chan os.Signal, 2), release: make(chan struct{}),
				options: Options{Logger: slog.New(slog.DiscardHandler)},
			}
			f(s)
			close(s.release)
			time.Sleep(time.Hour) // of the bubble: until whoever was cut off has ended
		})
	})
}

func (s *scene) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf("%v ", time.Since(s.begin))+fmt.Sprintf(format, args...))
}

func (s *scene) run(ctx context.Context, runners ...Runner) error {
	s.t.Helper()
	o, err := s.options.withDefaults()
	if err != nil {
		s.t.Fatalf("options: %v", err)
	}
	err = run(ctx, o, s.signals, runners)
	s.note("returned")
	return err
}

// signalAt sends SIGTERM when d of the scene has passed.
func (s *scene) signalAt(d time.Duration) {
	time.AfterFunc(d, func() { s.signals <- syscall.SIGTERM })
}

func (s *scene) want(events ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !reflect.DeepEqual(s.events, events) {
		s.t.Errorf("events:\ngot  %s\nwant %s", strings.Join(s.events, "\n     "), strings.Join(events, "\n     "))
	}
}

// fake is a runner: it runs until its context ends, or for life where that is set, then takes drain to end. It is
// ready as soon as it runs, so that the order of events is certain.
type fake struct {
	*scene
	name  string
	ready chan struct{}
	life  time.Duration // ends by itself after this; zero: never
	drain time.Duration
	stuck bool // ignores its context
	err   error
}

func (f *fake) String() string { return f.name }

func (f *fake) Ready() <-chan struct{} {
	f.ready = make(chan struct{}) // seen by Run, which is called later
	return f.ready
}

func (f *fake) Run(ctx context.Context) error {
	f.note("%s starts", f.name)
	if f.ready != nil {
		close(f.ready)
	}
	var life <-chan time.Time
	if f.life > 0 {
		life = time.After(f.life)
	}
	select {
	case <-ctx.Done():
		f.note("%s is told", f.name)
		if f.stuck {
			<-f.release
			return f.err
		}
		time.Sleep(f.drain)
	case <-life:
	}
	f.note("%s ends", f.name)
	return f.err
}

// slowStarter is ready after a while.
type slowStarter struct {
	*fake
	after  time.Duration
	worked chan struct{}
}

func newSlowStarter(f *fake, after time.Duration) *slowStarter {
	return &slowStarter{fake: f, after: after, worked: make(chan struct{})}
}

func (f *slowStarter) Ready() <-chan struct{} { return f.worked }

func (f *slowStarter) Run(ctx context.Context) error {
	t := time.AfterFunc(f.after, func() {
		f.note("%s is ready", f.name)
		close(f.worked)
	})
	defer t.Stop()
	return f.fake.Run(ctx)
}

// drainer has readiness to withdraw.
type drainer struct{ *fake }

func (f drainer) Drain() { f.note("%s drains", f.name) }

func TestStart(t *testing.T) {
	play(t, "KeepsTheOrderAndWaitsForReady", func(s *scene) {
		s.signalAt(10 * time.Second)
		err := s.run(s.t.Context(),
			newSlowStarter(&fake{scene: s, name: "a"}, 2*time.Second),
			newSlowStarter(&fake{scene: s, name: "b"}, 3*time.Second),
			&fake{scene: s, name: "c"})
		if err != nil {
			s.t.Errorf("got %v, want nil", err)
		}
		s.want("0s a starts", "2s a is ready", "2s b starts", "5s b is ready", "5s c starts",
			"10s c is told", "10s c ends", "10s b is told", "10s b ends", "10s a is told", "10s a ends", "10s returned")
	})

	play(t, "GivesUpOnWhatIsNotReadyAndDrainsWhatStarted", func(s *scene) {
		s.options.StartTimeout = 4 * time.Second
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a", drain: time.Second},
			newSlowStarter(&fake{scene: s, name: "b"}, time.Minute),
			&fake{scene: s, name: "c"})
		wantError(s.t, err, `mainstay: run "b": not ready after 4s`)
		s.want("0s a starts", "0s b starts", "4s b is told", "4s b ends", "4s a is told", "5s a ends", "5s returned")
	})

	play(t, "WaitsThirtySecondsByDefaultAndForEverWhenNegative", func(s *scene) {
		err := s.run(s.t.Context(), newSlowStarter(&fake{scene: s, name: "a"}, 31*time.Second))
		wantError(s.t, err, `mainstay: run "a": not ready after 30s`)
		s.options.StartTimeout = -1
		s.signalAt(time.Hour)
		err = s.run(s.t.Context(), newSlowStarter(&fake{scene: s, name: "a"}, 31*time.Second))
		wantError(s.t, err, "")
	})

	play(t, "FinishesAOnceBeforeTheNextAndWithoutStartTimeout", func(s *scene) {
		s.signalAt(2 * time.Minute)
		err := s.run(s.t.Context(),
			Once((&fake{scene: s, name: "migrate", life: time.Minute}).Run),
			&fake{scene: s, name: "a"})
		wantError(s.t, err, "")
		s.want("0s migrate starts", "1m0s migrate ends", "1m0s a starts", "2m0s a is told", "2m0s a ends", "2m0s returned")
	})

	play(t, "StopsAtAnErrorOfAOnce", func(s *scene) {
		cause := errors.New("no such table")
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a"},
			Once(func(context.Context) error { return cause }),
			&fake{scene: s, name: "b"})
		if !errors.Is(err, cause) {
			s.t.Errorf("got %v, want it to match %v", err, cause)
		}
		s.want("0s a starts", "0s a is told", "0s a ends", "0s returned")
	})

	play(t, "ReturnsWhenThereWereOnlyOnces", func(s *scene) {
		n := 0
		count := Once(func(context.Context) error { n++; return nil })
		wantError(s.t, s.run(s.t.Context(), count, count), "")
		wantError(s.t, s.run(s.t.Context()), "")
		if n != 2 {
			s.t.Errorf("got %d runs of two, want 2", n)
		}
	})

	play(t, "StartsNothingOnceTheContextHasEnded", func(s *scene) {
		ctx, cancel := context.WithCancel(s.t.Context())
		cancel()
		wantError(s.t, s.run(ctx, &fake{scene: s, name: "a"}), "")
		s.want("0s returned")
	})

	play(t, "StartsNothingAfterAPendingSignal", func(s *scene) {
		s.signals <- syscall.SIGTERM
		wantError(s.t, s.run(s.t.Context(), &fake{scene: s, name: "a"}), "")
		s.want("0s returned")
	})

	play(t, "RefusesNilBeforeAnythingStarts", func(s *scene) {
		err := s.run(s.t.Context(), &fake{scene: s, name: "a"}, nil)
		wantError(s.t, err, "mainstay: run: runner 2 of 2 is nil")
		s.want("0s returned")
	})

	play(t, "IsCutShortByASignal", func(s *scene) {
		s.signalAt(time.Second)
		err := s.run(s.t.Context(),
			newSlowStarter(&fake{scene: s, name: "a"}, 2*time.Second), &fake{scene: s, name: "b"})
		wantError(s.t, err, "")
		s.want("0s a starts", "1s a is told", "1s a ends", "1s returned")
	})

	play(t, "EndsTheContextOfAOnceAtASignal", func(s *scene) {
		s.signalAt(time.Second)
		err := s.run(s.t.Context(),
			Once((&fake{scene: s, name: "migrate"}).Run), &fake{scene: s, name: "a"})
		wantError(s.t, err, "")
		s.want("0s migrate starts", "1s migrate is told", "1s migrate ends", "1s returned")
	})

	play(t, "IsCutShortByARunnerThatEnds", func(s *scene) {
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a", life: time.Second, err: errors.New("port taken")},
			newSlowStarter(&fake{scene: s, name: "b"}, time.Minute),
			&fake{scene: s, name: "c"})
		wantError(s.t, err, `mainstay: run "a": port taken`)
		s.want("0s a starts", "0s b starts", "1s a ends", "1s b is told", "1s b ends", "1s returned")
	})

	play(t, "HandsDownValuesButNotTheEnd", func(s *scene) {
		type key struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(s.t.Context(), key{}, "value"), time.Second)
		defer cancel()
		s.options.DrainDelay = time.Second
		err := s.run(ctx, RunnerFunc(func(ctx context.Context) error {
			if got := ctx.Value(key{}); got != "value" {
				s.t.Errorf("value: got %v, want value", got)
			}
			<-ctx.Done()
			s.note("told")
			return nil
		}))
		wantError(s.t, err, "")
		s.want("2s told", "2s returned")
	})
}

func TestStop(t *testing.T) {
	play(t, "TellsEveryDrainerThenWaitsThenEndsInReverse", func(s *scene) {
		s.options.DrainDelay = 3 * time.Second
		s.signalAt(time.Second)
		err := s.run(s.t.Context(),
			drainer{&fake{scene: s, name: "a", drain: time.Second}},
			&fake{scene: s, name: "b", drain: time.Second},
			drainer{&fake{scene: s, name: "c", drain: time.Second}})
		wantError(s.t, err, "")
		s.want("0s a starts", "0s b starts", "0s c starts", "1s a drains", "1s c drains",
			"4s c is told", "5s c ends", "5s b is told", "6s b ends", "6s a is told", "7s a ends", "7s returned")
	})

	play(t, "HappensWhenARunnerEndsWithNil", func(s *scene) {
		err := s.run(s.t.Context(),
			drainer{&fake{scene: s, name: "a"}}, &fake{scene: s, name: "b", life: time.Second})
		wantError(s.t, err, "")
		s.want("0s a starts", "0s b starts", "1s b ends", "1s a drains", "1s a is told", "1s a ends", "1s returned")
	})

	play(t, "HappensWhenARunnerEndsWithAnError", func(s *scene) {
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a", life: time.Second, err: errors.New("gone")}, &fake{scene: s, name: "b"})
		wantError(s.t, err, `mainstay: run "a": gone`)
		s.want("0s a starts", "0s b starts", "1s a ends", "1s b is told", "1s b ends", "1s returned")
	})

	play(t, "JoinsTheErrorsInStartOrder", func(s *scene) {
		s.signalAt(time.Second)
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a", err: errors.New("first")},
			RunnerFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), // a clean end
			&fake{scene: s, name: "b", err: fmt.Errorf("flush: %w", context.Canceled)})     // something was lost
		wantError(s.t, err, "mainstay: run \"a\": first\nmainstay: run \"b\": flush: context canceled")
	})

	play(t, "KeepsItsReserveForThoseStillToCome", func(s *scene) {
		// 12s of grace: 6 to share, 2 for each of three. c, stuck, gets 12 - 2*2 = 8; then b gets 4 - 2 = 2.
		s.options.Grace = 12 * time.Second
		s.signalAt(time.Second)
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a", drain: 1500 * time.Millisecond},
			&fake{scene: s, name: "b", stuck: true},
			&fake{scene: s, name: "c", stuck: true})
		wantError(s.t, err, "mainstay: run \"b\": still running, cut off\nmainstay: run \"c\": still running, cut off")
		if !errors.Is(err, ErrCutOff) {
			s.t.Errorf("got %v, want it to match ErrCutOff", err)
		}
		s.want("0s a starts", "0s b starts", "0s c starts",
			"1s c is told", "9s b is told", "11s a is told", "12.5s a ends", "13s returned")
	})

	play(t, "GivesWhatIsLeftToWhoOverstayed", func(s *scene) {
		s.options.Grace = 12 * time.Second
		s.signalAt(time.Second)
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a"}, &fake{scene: s, name: "b", drain: 11 * time.Second})
		wantError(s.t, err, "") // b's part is 9s, and it used a's
		s.want("0s a starts", "0s b starts", "1s b is told", "10s a is told", "10s a ends", "12s b ends", "12s returned")
	})

	play(t, "CountsDrainDelayAsGraceWhichIs25sByDefault", func(s *scene) {
		s.options.DrainDelay = 10 * time.Second
		s.signalAt(time.Second)
		err := s.run(s.t.Context(), &fake{scene: s, name: "a", stuck: true})
		wantError(s.t, err, `mainstay: run "a": still running, cut off`)
		s.want("0s a starts", "11s a is told", "26s returned")
	})

	play(t, "HasNoBoundWhenGraceIsNegative", func(s *scene) {
		s.options.Grace = -1
		s.signalAt(time.Second)
		err := s.run(s.t.Context(), &fake{scene: s, name: "a"}, &fake{scene: s, name: "b", drain: time.Hour})
		wantError(s.t, err, "")
		s.want("0s a starts", "0s b starts",
			"1s b is told", "1h0m1s b ends", "1h0m1s a is told", "1h0m1s a ends", "1h0m1s returned")
	})

	play(t, "EndsAtOnceAtTheSecondSignal", func(s *scene) {
		s.signalAt(time.Second)
		s.signalAt(3 * time.Second)
		err := s.run(s.t.Context(),
			&fake{scene: s, name: "a"}, &fake{scene: s, name: "b", stuck: true})
		wantError(s.t, err, "mainstay: run \"a\": still running, cut off\nmainstay: run \"b\": still running, cut off")
		synctest.Wait()
		slices.Sort(s.events) // returning and being told have no order
		s.want("0s a starts", "0s b starts", "1s b is told", "3s a ends", "3s a is told", "3s returned")
	})

	play(t, "EndsAtOnceAtTheSecondSignalWithinDrainDelay", func(s *scene) {
		s.options.DrainDelay = 10 * time.Second
		s.signalAt(time.Second)
		s.signalAt(3 * time.Second)
		err := s.run(s.t.Context(), &fake{scene: s, name: "a", drain: time.Second})
		wantError(s.t, err, `mainstay: run "a": still running, cut off`)
		synctest.Wait()
		slices.Sort(s.events)
		s.want("0s a starts", "3s a is told", "3s returned")
	})

	play(t, "IsNotShortenedByAFirstSignal", func(s *scene) {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		s.signalAt(2 * time.Second)
		wantError(s.t, s.run(ctx, &fake{scene: s, name: "a", drain: 5 * time.Second}), "")
		s.want("0s a starts", "1s a is told", "6s a ends", "6s returned")
	})

	play(t, "KeepsTheErrorsOfRunnersThatEndMeanwhile", func(s *scene) {
		s.options.DrainDelay = 5 * time.Second
		s.signalAt(time.Second)
		err := s.run(s.t.Context(), &fake{scene: s, name: "a"},
			&fake{scene: s, name: "b", life: 2 * time.Second, err: errors.New("gone")})
		wantError(s.t, err, `mainstay: run "b": gone`)
		s.want("0s a starts", "0s b starts", "2s b ends", "6s a is told", "6s a ends", "6s returned")
	})

	play(t, "MissesNoRunnerThatLeavesItsGoroutine", func(s *scene) {
		err := s.run(s.t.Context(), &fake{scene: s, name: "a"},
			RunnerFunc(func(context.Context) error { runtime.Goexit(); return nil }))
		if got, want := fmt.Sprint(err), "ended its goroutine without returning"; !strings.Contains(got, want) {
			s.t.Errorf("got %q, want it to say %q", got, want)
		}
	})
}

func TestErrorOfWhatEndedUnseen(t *testing.T) {
	p := &process{name: "a", runner: anonymous{}, running: true}
	s := &supervisor{processes: []*process{p}, ended: make(chan *process, 1)}
	s.ended <- p // between the last look and the return
	wantError(t, s.err(), "")
}

func TestOptions(t *testing.T) {
	t.Run("RefuseADelayThatUsesUpTheGrace", func(t *testing.T) {
		err := Run(t.Context(), &Options{DrainDelay: 25 * time.Second})
		wantError(t, err, "mainstay: options: DrainDelay 25s must be shorter than Grace 25s")
	})
	t.Run("NegativeDelayIsNone", func(t *testing.T) {
		o, err := (&Options{DrainDelay: -time.Hour}).withDefaults()
		if err != nil || o.DrainDelay != 0 {
			t.Errorf("got %v, %v, want 0s, nil", o.DrainDelay, err)
		}
	})
}

func sweep(context.Context) error { return errors.New("nothing to sweep") }

type anonymous struct{}

func (anonymous) Run(context.Context) error { return errors.New("ended") }

func TestNames(t *testing.T) {
	quiet := &Options{Logger: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		runner Runner
		want   string
	}{
		{RunnerFunc(sweep), `mainstay: run "mainstay.sweep": nothing to sweep`},
		{Once(sweep), `mainstay: run "mainstay.sweep": nothing to sweep`},
		{RunnerFunc(anonymous{}.Run), `mainstay: run "mainstay.anonymous.Run": ended`},
		{anonymous{}, `mainstay: run "mainstay.anonymous": ended`},
	} {
		wantError(t, Run(t.Context(), quiet, c.runner), c.want)
	}
}

// wantError fails t unless err's text is want, "" for nil.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("error:\ngot  %q\nwant %q", got, want)
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain(os.Getenv(childEnv)))
	}
	goleak.VerifyTestMain(m)
}
