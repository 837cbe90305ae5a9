package pubsub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// BatchHandler handles several messages at once, of which no two have the same key. Returning nil acknowledges all of
// them, a *[BatchError] those that it does not name; the others, or all of them after any other error, are tried again
// or dead-lettered one by one, as if each had been handled alone.
//
// Its context ends like a [Handler]'s. It belongs to no message: use [NewContext] with the correlation package, or
// Message.Trace, for what is done on behalf of one.
type BatchHandler func(ctx context.Context, ms []*Message) error

// BatchError says which messages of a batch failed, and why: positions in the batch that the handler was given. The
// others succeeded. One without a cause fails with the text of this error. An error that names no message, or a position
// that is not there, fails those as well that it does not name.
type BatchError struct {
	Failed map[int]error
}

// Error says how many messages failed, where the first of them is, and why.
func (e *BatchError) Error() string {
	if len(e.Failed) == 0 {
		return "messages of a batch failed"
	}
	first := slices.Min(slices.Collect(maps.Keys(e.Failed)))
	return fmt.Sprintf("%d messages of a batch failed, the first at index %d: %v", len(e.Failed), first, e.Failed[first])
}

// Unwrap returns the causes, in the order of their positions.
func (e *BatchError) Unwrap() []error {
	var errs []error
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		if err := e.Failed[i]; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// of returns why message i of n failed, nil where it did not. A cause that is another message's says nothing of this
// one: it may be permanent.
func (e *BatchError) of(i, n int) error {
	cause, failed := e.Failed[i]
	if cause != nil {
		return cause
	}
	if failed || len(e.Failed) == 0 || e.misses(n) {
		return errors.New(e.Error())
	}
	return nil
}

// misses reports whether e names a position that a batch of n messages does not have.
func (e *BatchError) misses(n int) bool {
	for at := range e.Failed {
		if at < 0 || at >= n {
			return true
		}
	}
	return false
}

// BatchOptions configures a subscription whose handler takes batches. The zero value is ready.
type BatchOptions struct {
	// SubscriptionOptions says the rest. Concurrency counts batches; HandlerTimeout bounds one; MaxInFlight is by
	// default 1000, or twice what all handlers take at once where that is more. Middleware is not allowed.
	SubscriptionOptions
	// MaxBatch bounds the messages of one batch. Zero means 100; negative is not allowed.
	MaxBatch int
	// MaxWait is how long a message that could be handled waits for a batch to fill. Zero means not at all: a batch is
	// what is there when a handler is free. Negative means the same.
	MaxWait time.Duration
}

// SubscribeBatch is [Client.Subscribe] for a handler that takes several messages at once, each of another key.
func (c *Client) SubscribeBatch(topic, name string, h BatchHandler, o *BatchOptions) *Subscription {
	if o == nil {
		o = &BatchOptions{}
	}
	size := o.MaxBatch
	if size == 0 {
		size = 100
	}
	so := o.SubscriptionOptions
	if so.MaxInFlight == 0 {
		so.MaxInFlight = max(1000, 2*size*max(so.Concurrency, 8))
	}
	s := c.Subscribe(topic, name, func(context.Context, *Message) error { return errNotSingle }, &so)
	s.batch, s.batchWait = size, max(o.MaxWait, 0)
	s.batchHandler = h
	switch {
	case s.err != nil:
	case h == nil:
		s.err = &InvalidError{"handler", "is nil"}
	case size < 0:
		s.err = &InvalidError{"MaxBatch", "must not be negative"}
	case len(so.Middleware) > 0:
		s.err = &InvalidError{"Middleware", "is for handlers of single messages"}
	}
	return s
}

var errNotSingle = errors.New("pubsub: the handler takes batches")

// batchStartable reports whether the batch that is ready is full, or has waited long enough. The wait begins with the
// first call.
func (l *loop) batchStartable(now time.Time) bool {
	if l.batchDue.IsZero() {
		l.batchDue = now.Add(l.s.batchWait)
	}
	return len(l.ready) >= l.s.batch || !now.Before(l.batchDue)
}

// nextBatch takes as many as belong together.
func (l *loop) nextBatch() []*item {
	l.batchDue = time.Time{}
	items := make([]*item, 0, min(len(l.ready), l.s.batch))
	for len(items) < l.s.batch && len(l.ready) > 0 && !l.ready[0].alone() {
		items = append(items, l.start())
	}
	return items
}

func causeOfFailure(err error, i, n int) error {
	if partly, ok := err.(*BatchError); ok { //nolint:errorlint // wrapped by more, it speaks of the whole batch
		return partly.of(i, n)
	}
	return err
}

// attemptBatch is attempt for a batch: one span, linked to the spans that published its messages.
func (s *Subscription) attemptBatch(ctx context.Context, items []*item) (err error) {
	began := time.Now()
	ms := make([]*Message, len(items))
	for i, it := range items {
		it.stays = false
		ms[i] = it.m
	}
	links := s.links(ms)
	ctx, span := s.client.observer.tracer.Start(ctx, s.spanName, append(slices.Clip(s.spanStart), trace.WithLinks(links...),
		trace.WithAttributes(semconv.MessagingBatchMessageCount(len(ms))))...)
	ctx, cancel := s.timed(ctx)
	err = errGoexit // what stays if the handler never returns
	defer s.ended(ctx, span, cancel, began, &err)
	return s.batchHandler(ctx, ms)
}

// timed returns a child of ctx that ends with one attempt.
func (s *Subscription) timed(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.o.HandlerTimeout > 0 {
		return context.WithTimeout(ctx, s.o.HandlerTimeout)
	}
	return context.WithCancel(ctx)
}

// links returns the spans that published ms.
func (s *Subscription) links(ms []*Message) []trace.Link {
	if s.client.observer.untraced {
		return nil
	}
	links := make([]trace.Link, 0, len(ms))
	for _, m := range ms {
		from := trace.SpanContextFromContext(s.client.propagator.Extract(context.Background(), carried(&m.Trace)))
		if from.IsValid() {
			links = append(links, trace.Link{SpanContext: from})
		}
	}
	return links
}

// Received is an event with the message that brought it.
type Received[T any] struct {
	Event   T
	Message *Message
}

// SubscribeBatch is [Client.SubscribeBatch] with this topic's events. What does not decode is dead-lettered and does
// not reach handle: positions in a *[BatchError] are those of the events that handle was given.
func (t *Topic[T]) SubscribeBatch(
	client *Client, name string, handle func(context.Context, []Received[T]) error, o *BatchOptions,
) *Subscription {
	if handle == nil {
		return client.SubscribeBatch(t.name, name, nil, o)
	}
	return client.SubscribeBatch(t.name, name, func(ctx context.Context, ms []*Message) error {
		failed := make(map[int]error)
		events := make([]Received[T], 0, len(ms))
		at := make([]int, 0, len(ms)) // where each of events is in ms
		for i, m := range ms {
			event, err := t.Decode(m)
			if err != nil {
				failed[i] = err
				continue
			}
			events, at = append(events, Received[T]{event, m}), append(at, i)
		}
		if len(events) > 0 {
			err := handle(ctx, events)
			for i := range events {
				if cause := causeOfFailure(err, i, len(events)); cause != nil {
					failed[at[i]] = cause
				}
			}
		}
		if len(failed) > 0 {
			return &BatchError{failed}
		}
		return nil
	}, o)
}
