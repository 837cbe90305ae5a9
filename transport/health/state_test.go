package health_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport/health"
)

func TestState(t *testing.T) {
	pass := func(context.Context) error { return nil }
	quiet := &health.Options{Logger: slog.New(slog.DiscardHandler)}
	t.Run("IsReadyForWhatNeedsWhatPasses", func(t *testing.T) {
		h := health.New(quiet, health.Check{Name: "db", Check: pass},
			health.Check{Name: "broker", Check: func(context.Context) error { return errors.New("down") }})
		s, err := h.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			names []string
			want  bool
		}{
			{nil, false}, {[]string{"db"}, true}, {[]string{"broker"}, false}, {[]string{"db", "broker"}, false},
			{[]string{"x"}, false},
		} {
			if got := s.Ready(c.names...); got != c.want {
				t.Errorf("Ready(%q) = %t, want %t", c.names, got, c.want)
			}
		}
		if got, want := h.Names(), []string{"db", "broker"}; !slices.Equal(got, want) {
			t.Errorf("Names() = %q, want %q", got, want)
		}
	})
	t.Run("IsReadyWithoutChecksAndNeverOnceDrained", func(t *testing.T) {
		h := health.New(quiet)
		if s, err := h.State(t.Context()); err != nil || !s.Ready() {
			t.Errorf("without checks: %v, ready: %t", err, s.Ready())
		}
		if (health.State{}).Ready() {
			t.Error("the zero state is ready")
		}
		h.Add(health.Check{Name: "db", Check: pass})
		h.Drain()
		if s, err := h.State(t.Context()); err != nil || s.Ready() || s.Ready("db") {
			t.Errorf("drained: %v, ready: %t", err, s.Ready())
		}
	})
	t.Run("SharesItsRoundWithProbes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			h := health.New(quiet, health.Check{Name: "db", Check: func(context.Context) error { asked++; return nil }})
			probe(h.Readiness())
			first, err := h.State(t.Context())
			if err != nil || asked != 1 {
				t.Errorf("%v, asked %d times, want once", err, asked)
			}
			time.Sleep(2 * time.Second)
			second, err := h.State(t.Context())
			if err != nil || asked != 2 || second.At.Sub(first.At) != 2*time.Second {
				t.Errorf("%v, asked %d times, %v later, want twice, 2s later", err, asked, second.At.Sub(first.At))
			}
		})
	})
	t.Run("IsThatOfADrainWhichBeganMeanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			h := health.New(quiet, health.Check{Name: "db", Check: func(context.Context) error { <-release; return nil }})
			ready := make(chan bool)
			go func() {
				s, err := h.State(t.Context())
				ready <- err == nil && s.Ready()
			}()
			synctest.Wait()
			h.Drain()
			close(release)
			if <-ready {
				t.Error("it is ready")
			}
		})
	})
	t.Run("IsNotWaitedForLongerThanItsCaller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := health.New(quiet, health.Check{Name: "hung", Check: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if _, err := h.State(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%v after %v, want a deadline after 1s", err, time.Since(began))
			}
			time.Sleep(time.Second) // until the round has ended, which nobody waits for
		})
	})
}
