package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Do calls fn under p and returns what the last attempt returned, value and error alike: the value of an attempt that
// failed is not thrown away, since it may be a response whose body has to be closed.
//
// The error is fn's own. Where p or ctx ended the call, it also matches the reason: [ErrOpen], or the context's error
// (context.DeadlineExceeded even when the deadline is only near). Where fn was never called, it matches that alone.
//
// fn runs on the caller's goroutine, up to MaxAttempts times. Its context ends when it returns: what has to outlive
// the call, such as a body still to be read, needs a context of its own. With Options.Hedge it may also run on another
// goroutine at the same time, and Do returns when both have: fn must be safe for that, and listen to its context.
//
// What fn returned from attempts before the last, or from a try that was slower than the other, is dropped:
// [DoReleasing] is for values that have to be released.
func Do[T any](ctx context.Context, p *Policy, fn func(context.Context) (T, error)) (T, error) {
	return DoReleasing(ctx, p, fn, nil)
}

// DoReleasing is [Do] for values that hold something, such as a response with a body. It calls release with each value
// that fn returned and that is not returned to the caller, also where it came with an error, once, on the caller's
// goroutine: before the next attempt, or before the call returns. Nil release is Do.
func DoReleasing[T any](
	ctx context.Context, p *Policy, fn func(context.Context) (T, error), release func(T),
) (T, error) {
	var v T
	var err error
	if ctx.Err() != nil {
		return v, fmt.Errorf("resilience: policy %q: not called: %w", p.name, ended(ctx))
	}
	p.budget.earn()
	deadline := p.deadline(ctx)
	for n := 1; ; n++ {
		pass, refusal := p.breaker.enter()
		if refusal != nil {
			return v, p.gaveUp(n-1, err, refusal)
		}
		if n > 1 && release != nil {
			release(v)
		}
		var o Outcome
		if p.hedge == nil {
			v, o, err = attempt(ctx, p, pass, deadline, fn)
		} else {
			v, o, err = hedged(ctx, p, pass, deadline, fn, release)
		}
		if o != Failure || n >= p.retry.MaxAttempts {
			return v, err
		}
		if stop := p.wait(ctx, n, deadline, err); stop != nil {
			return v, stop
		}
	}
}

// attempt calls fn once, and tells the breaker what came of it. ctx is the caller's, or ends when the other try of two
// has won: then the outcome is Ignored, as if the caller had cancelled.
func attempt[T any](
	ctx context.Context, p *Policy, pass pass, deadline time.Time, fn func(context.Context) (T, error),
) (v T, o Outcome, err error) {
	limited, cancel := p.limit(ctx, deadline)
	defer cancel()
	if pass.done != nil {
		pass.done = p.releaseAtEnd(ctx, limited, pass.done)
	}
	o = Failure // unless fn returns: it may panic, or end its goroutine
	// Before cancel, which would look like the end of the attempt's time to a probe.
	defer func() { p.breaker.leave(pass, o) }()

	v, err = fn(limited)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("resilience: policy %q: attempt timed out: %w", p.name, err)
	}
	o = p.outcome(ctx, err)
	return v, o, err
}

// deadline is when the whole call has to end: zero for never.
func (p *Policy) deadline(ctx context.Context) time.Time {
	own, _ := ctx.Deadline()
	if p.timeout > 0 {
		return earlier(own, time.Now().Add(p.timeout))
	}
	return own
}

// limit returns the context of one attempt. It is ctx itself where ctx ends no later anyway: that costs nothing.
func (p *Policy) limit(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if p.attemptTimeout > 0 {
		deadline = earlier(deadline, time.Now().Add(p.attemptTimeout))
	}
	if own, ok := ctx.Deadline(); deadline.IsZero() || ok && !deadline.Before(own) {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline)
}

// earlier returns the earlier of a and b, where a zero a is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// releaseAtEnd returns done, to be called once, such that it also runs by itself when the attempt's context ends: a
// probe that does not listen to its context must not keep the breaker half open for ever.
func (p *Policy) releaseAtEnd(ctx, limited context.Context, done func(error)) func(error) {
	released := make(chan struct{})
	stop := context.AfterFunc(limited, func() {
		defer close(released)
		done(verdict(p.outcome(ctx, limited.Err())))
	})
	return func(v error) {
		if stop() {
			done(v)
			return
		}
		<-released
	}
}
