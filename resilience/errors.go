package resilience

import (
	"errors"
	"time"
)

// permanentError marks an error that another attempt would only repeat.
type permanentError struct{ error }

func (e permanentError) Unwrap() error   { return e.error }
func (e permanentError) Retryable() bool { return false }

// Permanent marks err as one that another attempt would only repeat: a [Policy] returns it after the first attempt,
// a subscription sends its message to the dead letter. The text is err's own. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent reports whether err was marked by [Permanent], or says itself, by a method Retryable() bool anywhere
// in its chain, that it is not worth another attempt. The outermost of them decides.
func IsPermanent(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && !r.Retryable()
}

// retryAfterError carries how long the callee asked its caller to wait.
type retryAfterError struct {
	error
	after time.Duration
}

func (e retryAfterError) Unwrap() error             { return e.error }
func (e retryAfterError) Retryable() bool           { return true }
func (e retryAfterError) RetryAfter() time.Duration { return e.after }

// RetryAfter marks err as worth another attempt, even where err says that it is not, but not before d has passed. A
// negative d counts as zero. The text is err's own. RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return retryAfterError{err, max(d, 0)}
}

// RetryDelay reports how long err asks its caller to wait: by [RetryAfter], or by a method RetryAfter()
// time.Duration anywhere in its chain that returns more than zero.
func RetryDelay(err error) (time.Duration, bool) {
	var marked retryAfterError
	if errors.As(err, &marked) {
		return marked.after, true
	}
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) && r.RetryAfter() > 0 {
		return r.RetryAfter(), true
	}
	return 0, false
}
