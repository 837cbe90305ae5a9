package resilience

import (
	"context"
	"errors"
	"fmt"
)

// Outcome is what one attempt counts as.
type Outcome uint8

const (
	// Success is counted as such by the breaker and not retried, whether or not there was an error: a dependency that
	// answers "no such order" works.
	Success Outcome = iota
	// Failure is counted as such by the breaker, and retried.
	Failure
	// Ignored says nothing of the dependency: not counted, not retried.
	Ignored
)

// String returns "success", "failure" or "ignored".
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Ignored:
		return "ignored"
	}
	return fmt.Sprintf("outcome_%d", uint8(o))
}

// classify is the default of Options.Classify.
func classify(err error) Outcome {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, ErrOpen):
		// Somebody on our side gave up, or refused: the dependency had no say.
		return Ignored
	case IsPermanent(err):
		return Success
	}
	return Failure
}

// outcome classifies what an attempt on behalf of ctx returned.
func (p *Policy) outcome(ctx context.Context, err error) Outcome {
	switch {
	case err == nil:
		return Success
	case errors.Is(ctx.Err(), context.Canceled):
		// The context decides, not the error: clients wrap, translate or replace context.Canceled.
		return Ignored
	}
	return p.classifier(err)
}
