package reqstate_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

func TestState(t *testing.T) {
	t.Run("IsFoundUnderDerivedContexts", func(t *testing.T) {
		c := &reqstate.Context{Context: context.WithValue(t.Context(), name{}, "below")}
		ctx, cancel := context.WithCancel(c)
		defer cancel()
		if got := reqstate.From(ctx); got != &c.State {
			t.Errorf("From = %p, want %p", got, &c.State)
		}
		if got := ctx.Value(name{}); got != "below" {
			t.Errorf("Value of the context below = %v, want below", got)
		}
		if got := reqstate.From(t.Context()); got != nil {
			t.Errorf("From of a bare context = %p, want nil", got)
		}
	})
	t.Run("KeepsTheFirstErrorAndTheLastRoute", func(t *testing.T) {
		s := &reqstate.State{}
		first := errors.New("first")
		s.Fail(first)
		s.Fail(errors.New("second"))
		s.SetRoute("/outer/")
		s.SetRoute("/inner/{id}")
		if route, err := s.Outcome(); route != "/inner/{id}" || !errors.Is(err, first) {
			t.Errorf("Outcome = %q, %v, want /inner/{id}, first", route, err)
		}
	})
	t.Run("LeavesTheLimitToWhoeverWatchesIt", func(t *testing.T) {
		s := &reqstate.State{}
		if s.LimitBody(5) || s.Limited() {
			t.Error("a limit that nobody watches was taken")
		}
		s.WatchBody(10)
		if !s.LimitBody(5) || s.MaxBody() != 5 {
			t.Errorf("MaxBody = %d, want 5", s.MaxBody())
		}
	})
	t.Run("TakesWritersAndReadersAtOnce", func(t *testing.T) {
		s := &reqstate.State{}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { s.SetRoute("/"); s.Fail(context.Canceled); s.Open(); s.WatchBody(1); s.LimitBody(2) })
			wg.Go(func() { _, _ = s.Outcome(); _ = s.IsOpen(); _ = s.MaxBody() })
		}
		wg.Wait()
	})
}

type name struct{}

// TestContextCostsNoGoroutine: package context starts one for a parent that it cannot see through.
func TestContextCostsNoGoroutine(t *testing.T) {
	parent, end := context.WithCancel(t.Context())
	defer end()
	before := runtime.NumGoroutine()
	var ctxs []context.Context
	for range 100 {
		ctx, cancel := context.WithCancel(&reqstate.Context{Context: parent})
		defer cancel()
		ctxs = append(ctxs, ctx)
	}
	if got := runtime.NumGoroutine(); got >= before+100 {
		t.Errorf("%d goroutines, %d before, want none for a derived context", got, before)
	}
	end()
	for _, ctx := range ctxs {
		if ctx.Err() == nil {
			t.Fatal("a derived context goes on after its parent's end")
		}
	}
}

func TestCallerLeft(t *testing.T) {
	cancelled := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		want bool
	}{
		"alive":              {t.Context(), false},
		"cancelled":          {cancelled(nil), true},
		"below a cancelled":  {&reqstate.Context{Context: cancelled(nil)}, true},
		"cut by the server":  {cancelled(errors.New("stopping")), false},
		"past its deadline":  {late, false},
		"a wrapping of both": {cancelled(fmt.Errorf("left: %w", context.Canceled)), true},
	} {
		if got := reqstate.CallerLeft(tt.ctx); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
