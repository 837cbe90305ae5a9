package pubsub

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// attemptContext is the context of one attempt: what NewContext and context.WithTimeout would make of its parent in
// five steps. Most handlers never wait for its end, so that what does is made when one asks.
type attemptContext struct {
	context.Context //nolint:containedctx // it is one; this is its parent, which ends with the drain
	m               *Message
	deadline        time.Time // zero for none

	waited atomic.Pointer[waitedContext] // nil while nobody waits
	mu     sync.Mutex                    // of making it, and of
	over   bool
}

// waitedContext is the end of an attempt, as package context has it.
type waitedContext struct {
	context.Context //nolint:containedctx // it is one
	cancel          context.CancelFunc
}

// begin sets c, once, before anybody has it. A timeout of zero or less is none.
func (c *attemptContext) begin(parent context.Context, m *Message, began time.Time, timeout time.Duration) {
	c.Context, c.m = parent, m
	if timeout > 0 {
		c.deadline = began.Add(timeout)
	}
}

// end ends c with its attempt.
func (c *attemptContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if w := c.waited.Load(); w != nil {
		w.cancel()
	}
}

// wait returns the context that ends as c does.
func (c *attemptContext) wait() context.Context {
	if w := c.waited.Load(); w != nil {
		return w
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waited.Load(); w != nil {
		return w
	}
	w := &waitedContext{}
	if c.deadline.IsZero() {
		w.Context, w.cancel = context.WithCancel(c.Context)
	} else {
		w.Context, w.cancel = context.WithDeadline(c.Context, c.deadline)
	}
	if c.over {
		w.cancel()
	}
	c.waited.Store(w)
	return w
}

// Deadline implements context.Context. The parent has none.
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements context.Context.
func (c *attemptContext) Done() <-chan struct{} { return c.wait().Done() }

// Err implements context.Context.
func (c *attemptContext) Err() error {
	if w := c.waited.Load(); w != nil {
		return w.Err()
	}
	c.mu.Lock()
	running := !c.over
	c.mu.Unlock()
	if running && c.Context.Err() == nil && (c.deadline.IsZero() || time.Now().Before(c.deadline)) {
		return nil
	}
	return c.wait().Err() // which says it for good
}

// Value implements context.Context.
func (c *attemptContext) Value(key any) any {
	if _, ok := key.(messageKey); ok {
		return c.m
	}
	if v := correlation.Value(key, c.m.CorrelationID, c.m.ID); v != nil {
		return v
	}
	if w := c.waited.Load(); w != nil {
		return w.Value(key) // package context finds its own there, and links children without a goroutine
	}
	return c.Context.Value(key)
}

// attempt runs the handler once, observed, bounded and with its panics caught.
func (s *Subscription) attempt(work context.Context, it *item) (err error) {
	began := time.Now()
	own := it.context()
	own.begin(work, it.m, began, s.o.HandlerTimeout)
	ctx := context.Context(own)
	if len(it.m.Trace) > 0 {
		ctx = s.client.propagator.Extract(ctx, carried(&it.m.Trace))
	}
	var span trace.Span
	if s.client.observer.untraced {
		span = trace.SpanFromContext(ctx)
	} else {
		ctx, span = s.client.observer.tracer.Start(ctx, s.spanName, s.spanStart...)
		describe(span, it.m)
	}
	err = errGoexit // what stays if the handler never returns
	defer s.ended(ctx, span, own.end, began, &err)
	return s.handler(ctx, it.m)
}

// ended is deferred by an attempt: it catches a panic, ends what the attempt had, and observes what came of it.
func (s *Subscription) ended(ctx context.Context, span trace.Span, end func(), began time.Time, err *error) {
	if v := recover(); v != nil {
		*err = &panicError{v, debug.Stack()}
	}
	end()
	series := s.handled
	if *err != nil {
		kind := errorType(*err)
		failSpan(span, *err, kind)
		series = s.client.observer.process.With(s.topic, s.name, kind)
	}
	span.End()
	series.Observe(ctx, time.Since(began))
}
