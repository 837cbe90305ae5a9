package health

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const defaultTimeout = 2 * time.Second

// Check asks one dependency.
type Check struct {
	// Name in the answer and in the log.
	Name string
	// Check returns nil when the dependency can be used. It should return when its context ends; one that does not
	// counts as failed, and is not called again until it has returned.
	Check func(context.Context) error
	// Timeout bounds one call. Zero means 2s; negative means none, for a check that bounds itself: a probe waits for it.
	Timeout time.Duration
	// Startup marks what has to pass once, such as migrations or a cache that is filled: it is asked until it has
	// passed, and then counts as passed for good. False means that it is asked for as long as the process runs.
	Startup bool
}

// check is a Check and its history. The fields behind passed belong to the round under way.
type check struct {
	Check
	running atomic.Bool // a call has not returned
	passed  atomic.Bool // a call has returned nil
	failed  bool
}

var errStuck = errors.New("health: the check did not return in time")

// starting reports whether c has still to pass once.
func (c *check) starting() bool { return c.Startup && !c.passed.Load() }

// call runs c's function within its time-out, whatever the function does.
func (c *check) call(ctx context.Context) error {
	if c.Startup && c.passed.Load() {
		return nil
	}
	if !c.running.CompareAndSwap(false, true) {
		return errStuck // still
	}
	if c.Timeout < 0 {
		defer c.running.Store(false)
		return protect(ctx, c.Check.Check)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	result := make(chan error, 1)
	// A check that ignores its context outlives this call: once, since running keeps the next one from starting.
	go func() {
		err := protect(ctx, c.Check.Check)
		c.running.Store(false) // before the result: the next call may follow at once
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-result:
		return err
	default:
		return errStuck
	}
}

// protect makes a panic a failed check: it runs on a goroutine that nobody else would protect.
func protect(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errors.New("health: the check panicked")
		}
	}()
	return f(ctx)
}

// stateOK is the state of a check that passes.
const stateOK = "ok"

func state(err error) string {
	switch {
	case err == nil:
		return stateOK
	case errors.Is(err, errStuck), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failing"
}
