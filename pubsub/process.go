package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
)

// verdict is what becomes of a delivery.
type verdict uint8

const (
	settled  verdict = iota + 1 // handled, or its dead letter is stored: acknowledge it
	again                       // try again after a delay
	released                    // the subscription stopped: give it back, nothing counted
)

// result is what a worker reports of one message.
type result struct {
	it      *item
	verdict verdict
	delay   time.Duration
}

// errGoexit is the outcome of a handler that ended its goroutine (runtime.Goexit, testing's FailNow).
var errGoexit = errors.New("handler ended its goroutine")

// panicError is a handler's panic as an error.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Unwrap returns the panic's value where that is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// newItem takes in what was received, and reads it. An item, its message and the context of its first attempt are one
// piece of memory.
func (s *Subscription) newItem(d *driver.Delivery) *item {
	fresh := &struct {
		item
		Message
		attemptContext
	}{}
	it := &fresh.item
	it.d, it.m, it.own = d, &fresh.Message, &fresh.attemptContext
	tried := decodeInto(it.m, s.topic, s.name, d, s.client.traceFields)
	it.id, it.key = it.m.ID, it.m.Key
	if tried {
		s.recall(it, time.Now())
	}
	if most := s.o.Retry.MaxAttempts; most > 0 && d.Attempt > most+maxStrayDeliveries {
		it.dead = &burial{reason: reasonDeliveries, attempts: it.failures + d.Attempt - 1,
			err: fmt.Errorf("delivered %d times without an outcome", d.Attempt-1)}
	}
	return it
}

// step does what a worker does with j, up to where its outcome is decided.
func (s *Subscription) step(work context.Context, j job) error {
	switch {
	case j.it == nil:
		return s.attemptBatch(work, j.batch)
	case j.it.alone():
		return nil
	}
	j.it.stays = false
	return s.attempt(work, j.it)
}

// outcome appends to done what becomes of each message of j, whose step ended with err.
func (s *Subscription) outcome(work context.Context, j job, err error, done []result) []result {
	if j.it != nil {
		return append(done, s.judge(work, j.it, err))
	}
	for i, it := range j.batch {
		// Dead letters are stored one by one, as a step of their own each, while the others are acknowledged.
		done = append(done, s.decide(work, it, causeOfFailure(err, i, len(j.batch))))
	}
	return done
}

// settling returns a context for what is stored on behalf of a message. It is its own: neither the end of an attempt
// nor that of work takes it along, but what is under way when work ends has settleGrace left.
func settling(work context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), settleTimeout)
	stop := context.AfterFunc(work, func() { time.AfterFunc(settleGrace, cancel) })
	return ctx, func() {
		stop()
		cancel()
	}
}

// judge decides what becomes of it after an attempt that ended with err, or instead of one.
func (s *Subscription) judge(work context.Context, it *item, err error) result {
	switch {
	case it.dead != nil:
		return s.bury(s.contextOf(work, it.m), it)
	case it.moving:
		return s.move(s.contextOf(work, it.m), it)
	}
	r := s.decide(work, it, err)
	if it.dead != nil {
		return s.bury(s.contextOf(work, it.m), it)
	}
	return r
}

// decide is judge after an attempt, without what has to be stored: where it has to be buried, that is its next step.
func (s *Subscription) decide(work context.Context, it *item, err error) result {
	switch {
	case err == nil:
		return result{it: it, verdict: settled}
	case work.Err() != nil:
		// Stopping is not a failure of the message.
		return result{it: it, verdict: released}
	}
	it.failures++
	if it.failed.IsZero() {
		it.failed = time.Now()
	}
	delay := s.o.Retry.delay(it.failures, err)
	if reason := s.o.Retry.giveUp(it, err, delay); reason != "" {
		it.dead = &burial{reason: reason, class: errorType(err), attempts: it.m.Attempt, err: err}
		return result{it: it, verdict: again}
	}
	return s.retry(s.contextOf(work, it.m), it, err, delay)
}

// delay returns the pause after the nth failure, which ended with err.
func (r *Retry) delay(n int, err error) time.Duration {
	if asked, ok := resilience.RetryDelay(err); ok {
		return min(asked, maxRetryAfter)
	}
	return backoff.Delay(n, r.MinBackoff, r.MaxBackoff)
}

// giveUp returns why it, which failed with err, is not tried again after delay, "" where it is.
func (r *Retry) giveUp(it *item, err error, delay time.Duration) string {
	switch {
	case resilience.IsPermanent(err):
		return reasonPermanent
	case r.MaxAttempts > 0 && it.failures >= r.MaxAttempts:
		return reasonExhausted
	case r.MaxAge > 0 && time.Since(it.failed)+delay > r.MaxAge:
		return reasonExpired
	}
	return ""
}

// retry logs the failure and sets the next attempt.
func (s *Subscription) retry(ctx context.Context, it *item, err error, delay time.Duration) result {
	s.client.observer.retries.WithLabelValues(s.topic, s.name).Inc()
	s.log.WarnContext(ctx, "message failed, another attempt follows", append(logged(it.m, err), "retry_in", delay)...)
	next := *it.m // the handler may have left a goroutine that still reads the old one
	next.Attempt++
	it.m = &next
	return result{it: it, verdict: again, delay: delay}
}

// logged returns log attributes that identify m and say what went wrong.
func logged(m *Message, err error) []any {
	attrs := []any{"message_id", m.ID, "attempt", m.Attempt, "error", err}
	var p *panicError
	if errors.As(err, &p) {
		attrs = append(attrs, "stack", string(p.stack))
	}
	return attrs
}
