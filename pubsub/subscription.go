package pubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// Retry says how often and when a failed message is tried again.
type Retry struct {
	// MaxAttempts bounds the runs of the handler for one delivery, the first included. Zero means 10; negative means
	// no bound, so that only a permanent error dead-letters.
	MaxAttempts int
	// MinBackoff is the least pause before another attempt; the bound of the random pause doubles with each failure.
	// Zero means 250ms; negative means no pause, which needs a MaxAttempts.
	MinBackoff time.Duration
	// MaxBackoff bounds the pause. Zero means 30s, or MinBackoff where that is more; negative is not allowed. A
	// pause that an error asks for (resilience.RetryAfter) is kept up to 15 minutes, whatever MaxBackoff says.
	MaxBackoff time.Duration
	// MaxAge bounds how long after its first failed attempt a message is tried again: one whose next attempt would begin
	// later is dead-lettered at once, as "expired". The time before the first attempt does not count, so that a backlog
	// gets its attempts, and a delivery to another process begins anew. Zero means no bound; negative means none too.
	MaxAge time.Duration
}

// Start is a place in a topic. The zero value is its end: what is published from now on.
type Start = driver.Start

// ErrUnordered says that the broker cannot keep the order of a key across processes, which
// SubscriptionOptions.OrderAcrossReplicas asks for.
var ErrUnordered = driver.ErrUnordered

// maxRetryAfter bounds the pause that an error may ask for: the message is held, and holds up its key, meanwhile.
const maxRetryAfter = 15 * time.Minute

// SubscriptionOptions configures a [Subscription]. The zero value is ready.
type SubscriptionOptions struct {
	// Concurrency bounds the handlers that run at once. Zero means 8; negative is not allowed.
	Concurrency int
	// MaxInFlight bounds the messages received and not yet settled: running, queued behind their key, waiting for
	// another attempt. It bounds memory; when one key's backlog fills it, the other keys wait too. Zero means 1000,
	// or Concurrency where that is more; negative is not allowed. Ahead of the handlers, no more is received than they
	// took within the last 10ms or so: one message for each, and 512 at the most.
	MaxInFlight int
	// HandlerTimeout bounds one attempt. Zero means 1m; negative means none.
	HandlerTimeout time.Duration
	// Lease is how long the broker keeps a message for this process before it gives it to another: how soon the
	// messages of a process that died come back. It is renewed, for messages that run, queue or wait, every third of
	// it. Zero means 30s; less than 100ms, negative too, is not allowed.
	Lease time.Duration
	// Start is where a subscription begins that the broker does not know yet. Its zero value means with the first
	// message published after it was opened. It changes nothing about a subscription that exists.
	Start Start
	// OrderAcrossReplicas asks the broker to keep the messages of a key with one process at a time, except while a dead
	// or stopped one is being taken over. Run fails with [ErrUnordered] where the broker cannot. False means that only
	// this process's handlers keep the order of a key.
	OrderAcrossReplicas bool
	// Retry says how often a failed message is tried again. Its zero value means the defaults of its fields.
	Retry Retry
	// MaxInPlaceDelay is the longest pause before another attempt for which a message waits here and holds up its key;
	// for a longer one it is moved, as the package comment says. Zero means 15m; negative means that none is too long.
	// A broker that cannot move messages keeps them here, whatever the pause, and refuses a value above zero.
	MaxInPlaceDelay time.Duration
	// MaxParked bounds the messages that wait here for another attempt: what fails beyond is moved, unless moving
	// fails. Zero means MaxInFlight, so that only MaxInFlight bounds them; negative is not allowed. A broker that cannot
	// move messages refuses a value above zero.
	MaxParked int
	// DeadLetter names the topic for messages that cannot be handled. Empty means TOPIC.dead-letter.SUBSCRIPTION.
	// There is always one.
	DeadLetter string
	// Middleware wraps the handler, the first outermost. It runs within each attempt, inside the span and the
	// recovery from panics. Nil means none.
	Middleware []Middleware
	// LagInterval is how often the broker is asked how far behind the subscription is, where it can say. Zero means 15s;
	// negative means never.
	LagInterval time.Duration
	// DrainTimeout bounds how long running handlers may take once Run's context has ended; then their contexts end
	// too, and their messages are released. Zero means 25s; negative means no time at all.
	DrainTimeout time.Duration
}

// withDefaults returns o's values, or what stands for those that are zero.
func (o *SubscriptionOptions) withDefaults(topic, name string) SubscriptionOptions {
	var r SubscriptionOptions
	if o != nil {
		r = *o
	}
	r.Concurrency = cmp.Or(r.Concurrency, 8)
	r.MaxInFlight = cmp.Or(r.MaxInFlight, max(1000, r.Concurrency))
	r.HandlerTimeout = cmp.Or(r.HandlerTimeout, time.Minute)
	r.Lease = cmp.Or(r.Lease, 30*time.Second)
	r.Retry.MaxAttempts = cmp.Or(r.Retry.MaxAttempts, 10)
	r.Retry.MinBackoff = cmp.Or(r.Retry.MinBackoff, 250*time.Millisecond)
	r.Retry.MaxBackoff = cmp.Or(r.Retry.MaxBackoff, max(30*time.Second, r.Retry.MinBackoff))
	r.MaxInPlaceDelay = cmp.Or(r.MaxInPlaceDelay, 15*time.Minute)
	r.MaxParked = cmp.Or(r.MaxParked, r.MaxInFlight)
	r.DeadLetter = cmp.Or(r.DeadLetter, defaultDeadLetter(topic, name))
	r.LagInterval = cmp.Or(r.LagInterval, 15*time.Second)
	r.DrainTimeout = cmp.Or(r.DrainTimeout, 25*time.Second)
	return r
}

func (o *SubscriptionOptions) check(topic string) error {
	switch {
	case o.Concurrency < 0:
		return &InvalidError{"Concurrency", "must not be negative"}
	case o.MaxInFlight < 0:
		return &InvalidError{"MaxInFlight", "must not be negative"}
	case o.Lease < 100*time.Millisecond:
		return &InvalidError{"Lease", "must be 100ms or more"}
	case o.Retry.MaxBackoff < 0:
		return &InvalidError{"Retry.MaxBackoff", "must not be negative"}
	case o.Retry.MinBackoff < 0 && o.Retry.MaxAttempts < 0:
		return &InvalidError{"Retry", "must have a pause or a MaxAttempts"}
	case o.MaxParked < 0:
		return &InvalidError{"MaxParked", "must not be negative"}
	case o.DeadLetter == topic:
		return &InvalidError{"DeadLetter", "must not be the topic itself"}
	}
	return checkTopic("DeadLetter", o.DeadLetter)
}

// Subscription hands the messages of a topic to a handler. It is a mainstay.Runner: give it to mainstay.Run, or call
// Run yourself, once.
type Subscription struct {
	client    *Client
	topic     string
	name      string
	handler   Handler
	o         SubscriptionOptions
	mover     driver.Redeliverer // nil where the broker is none
	err       error              // why it cannot run
	ran       atomic.Bool
	ready     chan struct{}
	draining  chan struct{}
	drain     func() // closes draining, once
	paused    atomic.Bool
	pausing   chan struct{} // holds a token when paused has changed
	log       *slog.Logger
	spanName  string
	spanStart []trace.SpanStartOption
	handled   *metrics.Series // attempts that succeeded; set by Run

	batchHandler BatchHandler // nil for a handler of single messages
	batch        int          // the most that one goroutine takes
	batchWait    time.Duration
}

// Subscribe returns a subscription that hands the messages of topic to h. Subscriptions of one name, in this process
// and in others, share the messages; each name gets all of them, from the first one published after the broker saw
// the name for the first time. A name is 1 to 64 of A-Z a-z 0-9 - _ . without an empty part between dots.
//
// What is wrong with the arguments is reported by [Subscription.Run], before the first message.
func (c *Client) Subscribe(topic, name string, h Handler, o *SubscriptionOptions) *Subscription {
	s := &Subscription{
		client: c, topic: topic, name: name,
		o:        o.withDefaults(topic, name),
		ready:    make(chan struct{}),
		draining: make(chan struct{}),
		pausing:  make(chan struct{}, 1),
	}
	s.drain = sync.OnceFunc(func() { close(s.draining) })
	s.mover, _ = c.broker.(driver.Redeliverer)
	s.err = s.check(h)
	if o != nil && s.err == nil && s.mover == nil && (o.MaxParked > 0 || o.MaxInPlaceDelay > 0) {
		s.err = &InvalidError{"MaxParked or MaxInPlaceDelay", "needs a broker that can hand a message to one subscription alone"}
	}
	if s.err != nil {
		return s
	}
	s.handler = h
	for i := len(s.o.Middleware) - 1; i >= 0; i-- {
		s.handler = s.o.Middleware[i](s.handler)
	}
	s.log = c.logger.With("topic", topic, "subscription", name)
	s.spanName = "process " + topic
	attrs := append(c.observer.system[:len(c.observer.system):len(c.observer.system)],
		semconv.MessagingOperationName("process"),
		semconv.MessagingOperationTypeProcess,
		semconv.MessagingDestinationName(topic),
		semconv.MessagingConsumerGroupName(name),
	)
	s.spanStart = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attrs...)}
	return s
}

func (s *Subscription) check(h Handler) error {
	if s.client.err != nil {
		return s.client.err
	}
	if h == nil {
		return &InvalidError{"handler", "is nil"}
	}
	return errors.Join(
		checkTopic("topic", s.topic),
		checkName("subscription", s.name, maxSubscriptionLength),
		s.o.check(s.topic),
	)
}

// String names the subscription in errors.
func (s *Subscription) String() string { return fmt.Sprintf("subscription %q of %q", s.name, s.topic) }

// Ready is closed once the subscription is open at the broker.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Drain tells the subscription that its end is near: it receives nothing more. What it has received is handled until
// Run's context ends. Drain returns at once and may be called at any time, more than once.
func (s *Subscription) Drain() { s.drain() }

// Run opens the subscription and handles messages until ctx ends or the broker refuses for good. A broker that is
// down, at the start or later, is waited for.
//
// When ctx ends, Run receives nothing more and releases what waits, so that other consumers get it at once: queued
// messages, and those between two attempts. Messages queued behind a running one of their key are released when that
// one has ended. Handlers that run get DrainTimeout; then their contexts end, and their messages are released without
// counting the attempt. Run returns nil when no handler was cut off, else an error that matches
// context.DeadlineExceeded and names the messages. A handler that has not returned 2s after its context ended is
// left behind, and its message comes back when the lease ends.
func (s *Subscription) Run(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("pubsub: %v: %w", s, s.err)
	}
	if s.ran.Swap(true) {
		return fmt.Errorf("pubsub: %v: Run was called twice", s)
	}
	s.handled = s.client.observer.announce(s.topic, s.name)
	revoked := newRevocations()
	sub, err := s.open(ctx, revoked)
	if err != nil {
		return fmt.Errorf("pubsub: %v: open: %w", s, err)
	}
	if sub == nil {
		return nil // ctx ended first: nothing was received, so nothing is left
	}
	close(s.ready)
	var watch sync.WaitGroup
	watching, endWatch := context.WithCancel(ctx)
	watch.Go(func() { s.watchLag(watching, sub) })
	err = newLoop(s, sub, revoked).run(ctx)
	endWatch()
	watch.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := errors.Join(err, sub.Close(closing)); err != nil {
		return fmt.Errorf("pubsub: %v: %w", s, err)
	}
	return nil
}

// open opens the subscription, and waits for a broker that is away. It returns nil, nil when ctx ends first.
func (s *Subscription) open(ctx context.Context, revoked *revocations) (driver.Subscription, error) {
	for failures := 1; ; failures++ {
		sub, err := s.tryOpen(ctx, revoked)
		switch {
		case err == nil:
			if failures > 1 {
				s.log.InfoContext(ctx, "subscription is open after all", "tries", failures)
			}
			return sub, nil
		case ctx.Err() != nil:
			return nil, nil
		case resilience.IsPermanent(err), errors.Is(err, ErrUnordered):
			return nil, err
		case failures == 1:
			s.log.WarnContext(ctx, "subscription cannot be opened yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(outageDelay(failures)):
		}
	}
}

func (s *Subscription) tryOpen(ctx context.Context, revoked *revocations) (driver.Subscription, error) {
	// The dead letter needs its topic before the first message can fail.
	if err := s.client.declare(ctx, []string{s.o.DeadLetter}); err != nil {
		return nil, err
	}
	return s.client.broker.Subscribe(ctx, driver.SubscribeOptions{
		Topic: s.topic, Name: s.name, Lease: s.o.Lease, MaxInFlight: s.o.MaxInFlight,
		Start: s.o.Start, Ordered: s.o.OrderAcrossReplicas, DeadLetter: s.o.DeadLetter, Revoke: revoked.add,
	})
}

// outageDelay is the pause after the nth failure in a row to reach the broker.
func outageDelay(n int) time.Duration { return backoff.Delay(n, 100*time.Millisecond, 10*time.Second) }

// contextOf returns ctx as the handler of m sees it: correlation ID, the publisher's span as parent, and m itself.
func (s *Subscription) contextOf(ctx context.Context, m *Message) context.Context {
	ctx = s.client.propagator.Extract(ctx, carried(&m.Trace))
	return NewContext(correlation.NewContext(ctx, m.CorrelationID), m)
}
