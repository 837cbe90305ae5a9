package resilience

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
)

// wait returns nil when the time for another attempt has come, after the n-th ended with cause. Otherwise it returns
// the error that the call ends with.
func (p *Policy) wait(ctx context.Context, n int, deadline time.Time, cause error) error {
	delay := backoff.Delay(n, min(p.retry.MinBackoff, p.retry.MaxBackoff), p.retry.MaxBackoff)
	if asked, ok := RetryDelay(cause); ok {
		if limit := p.retry.MaxRetryAfter; limit > 0 && asked > limit {
			return cause
		}
		delay += min(asked, math.MaxInt64-delay)
	}
	if !deadline.IsZero() && time.Until(deadline) <= delay {
		return p.gaveUp(n, cause, fmt.Errorf("no time left to wait %v: %w", delay, context.DeadlineExceeded))
	}
	if refusal := p.breaker.refusal(delay); refusal != nil {
		return p.gaveUp(n, cause, refusal)
	}
	if !p.budget.spend() {
		return p.gaveUp(n, cause, ErrRetryBudget)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return p.gaveUp(n, cause, ended(ctx))
	}
	return nil
}

// gaveUp is the error of a call that ended after n attempts, the last one with cause, for the reason why. The cause
// comes first in the chain, because it is the dependency's own word.
func (p *Policy) gaveUp(n int, cause, why error) error {
	if n == 0 {
		return fmt.Errorf("resilience: policy %q: not called: %w", p.name, why)
	}
	return fmt.Errorf("resilience: policy %q: attempt %d: %w; gave up: %w", p.name, n, cause, why)
}

// ended is the error of a context that has ended, with its cause where it has one of its own.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
