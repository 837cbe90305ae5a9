package pubsub

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/trace"

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

// result is what a handler's goroutine reports to the loop.
type result struct {
	it      *item
	verdict verdict
	delay   time.Duration
}

// report is what one goroutine found out, of one message or of several.
type report struct {
	result
	more []result
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

func (s *Subscription) newItem(d *driver.Delivery) *item {
	m := decode(s.topic, s.name, d, s.client.traceFields)
	it := &item{d: d, m: m, id: m.ID, key: m.Key}
	s.recall(it, time.Now())
	if most := s.o.Retry.MaxAttempts; most > 0 && d.Attempt > most+maxStrayDeliveries {
		it.dead = &burial{reason: reasonDeliveries, attempts: it.failures + d.Attempt - 1,
			err: fmt.Errorf("delivered %d times without an outcome", d.Attempt-1)}
	}
	return it
}

// process takes one step with it, an attempt, a move or a burial, and reports on done, which has room.
func (s *Subscription) process(work context.Context, it *item, done chan<- report) {
	ctx := s.contextOf(work, it.m)
	err := errGoexit
	// Deferred, because a handler may end this goroutine.
	defer func() { done <- report{result: s.judge(ctx, it, err)} }()
	if it.dead == nil && !it.moving {
		it.stays = false
		err = s.attempt(ctx, it.m)
	}
}

// attempt runs the handler once, observed, bounded and with its panics caught.
func (s *Subscription) attempt(ctx context.Context, m *Message) (err error) {
	began := time.Now()
	ctx, span := s.client.observer.tracer.Start(ctx, s.spanName, s.spanStart...)
	describe(span, m)
	ctx, cancel := s.attemptContext(ctx)
	defer cancel()
	err = errGoexit // what stays if the handler never returns
	defer s.ended(ctx, span, began, &err)
	return s.handler(ctx, m)
}

// ended is deferred by an attempt: it catches a panic, and observes what came of the attempt.
func (s *Subscription) ended(ctx context.Context, span trace.Span, began time.Time, err *error) {
	if v := recover(); v != nil {
		*err = &panicError{v, debug.Stack()}
	}
	series := s.handled
	if *err != nil {
		kind := errorType(*err)
		failSpan(span, *err, kind)
		series = s.client.observer.process.With(s.topic, s.name, kind)
	}
	span.End()
	series.Observe(ctx, time.Since(began))
}

// attemptContext returns a child of ctx that ends with one attempt.
func (s *Subscription) attemptContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.o.HandlerTimeout > 0 {
		return context.WithTimeout(ctx, s.o.HandlerTimeout)
	}
	return context.WithCancel(ctx)
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
func (s *Subscription) judge(ctx context.Context, it *item, err error) result {
	switch {
	case it.dead != nil:
		return s.bury(ctx, it)
	case it.moving:
		return s.move(ctx, it)
	}
	r := s.decide(ctx, it, err)
	if it.dead != nil {
		return s.bury(ctx, it)
	}
	return r
}

// decide is judge after an attempt, without what has to be stored: where it has to be buried, that is its next step.
func (s *Subscription) decide(ctx context.Context, it *item, err error) result {
	switch {
	case err == nil:
		return result{it: it, verdict: settled}
	case ctx.Err() != nil:
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
	return s.retry(ctx, it, err, delay)
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
