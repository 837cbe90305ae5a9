package pubsub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
)

const (
	// settleTimeout bounds one call to acknowledge, release or close, so that a broker that is away cannot hold up
	// the end.
	settleTimeout = 10 * time.Second
	// abandonAfter is how long a handler whose context has ended may take to notice.
	abandonAfter = 2 * time.Second
	// settleGrace is how long a copy that is being stored may take once handlers are cut off: less than abandonAfter, so
	// that it is never left behind.
	settleGrace = time.Second
	// maxStrayDeliveries is how many deliveries beyond Retry.MaxAttempts may end without an outcome. Generous,
	// because brokers count the deliveries that a stopping consumer released too.
	maxStrayDeliveries = 10
)

// errCutOff is the cause with which a handler's context ends when the drain runs out of time.
var errCutOff = fmt.Errorf("pubsub: the subscription is stopping: %w", context.DeadlineExceeded)

// loop runs an open subscription. One goroutine owns all of its state; every call that may block (a handler, the
// broker) is made by another that reports back on a channel with room for its answer.
type loop struct {
	s   *Subscription
	sub driver.Subscription
	dispatch
	running map[*item]struct{}
	unacked []*item // handled, to be acknowledged with the next batch
	gauge   prometheus.Gauge
	revoked *revocations
	late    []*driver.Delivery      // revoked while a Receive was under way that may return them
	fail    context.CancelCauseFunc // stops the loop

	received  chan batch
	done      chan report
	todo      chan job      // what workers take
	workers   int           // that were begun
	exited    chan struct{} // one for each that has ended
	busy      int           // workers that have something to do
	batchDue  time.Time     // when what is ready no longer waits for a batch to fill
	acked     chan []*item
	extended  chan struct{}
	asking    bool // a Receive is under way
	acking    bool
	extending bool
	calls     sync.WaitGroup // of calls to the broker

	failures int       // of Receive, in a row
	askAfter time.Time // not before then
	alarmAt  time.Time // when the alarm goes off, as far as somebody waits for it
	stopping bool      // nothing more is begun
	paused   bool      // nor now
	err      error     // why it stopped by itself
	cutOff   []string  // messages whose handlers ran out of time
}

// batch is what one Receive returned.
type batch struct {
	ds    []*driver.Delivery
	err   error
	ended bool // the context had ended, which explains err
}

func newLoop(s *Subscription, sub driver.Subscription, revoked *revocations) *loop {
	return &loop{
		s: s, sub: sub, revoked: revoked,
		dispatch: dispatch{lanes: make(map[string][]*item)},
		running:  make(map[*item]struct{}),
		gauge:    s.client.observer.process.InFlight(s.topic, s.name),
		received: make(chan batch, 1),
		// Room for every handler, so that one that was left behind can end.
		done:     make(chan report, s.o.Concurrency),
		todo:     make(chan job, s.o.Concurrency),
		exited:   make(chan struct{}, s.o.Concurrency),
		acked:    make(chan []*item, 1),
		extended: make(chan struct{}, 1),
	}
}

// run handles messages until ctx ends or the broker refuses for good, then drains.
func (l *loop) run(ctx context.Context) error {
	ctx, l.fail = context.WithCancelCause(ctx)
	defer l.fail(nil)
	// Handlers, and calls that settle messages, go on while the loop drains.
	work, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	receiving, endReceive := context.WithCancel(ctx)
	defer func() { endReceive() }()
	lease := time.NewTicker(l.s.o.Lease / 3)
	defer lease.Stop()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()

	var deadline, abandon <-chan time.Time // nil until the drain gets there
	stop, drain := ctx.Done(), (<-chan struct{})(l.s.draining)
	for !l.over() {
		now := time.Now()
		l.begin(work, now)
		l.ask(receiving, now)
		l.ack(work)
		l.setAlarm(alarm, now)
		select {
		case b := <-l.received:
			l.take(work, b)
		case r := <-l.done:
			l.note(work, r)
		case items := <-l.acked:
			l.acking = false
			l.forget(items)
		case <-l.extended:
			l.extending = false
		case <-l.revoked.some:
			l.revoke(work, append(l.revoked.take(), l.late...))
		case <-l.s.pausing:
			receiving, endReceive = l.heed(ctx, work, receiving, endReceive)
		case <-lease.C:
			l.extend(work)
		case <-alarm.C:
			l.alarmAt = time.Time{}
			l.wake(time.Now())
		case <-drain:
			drain = nil
			endReceive()
		case <-stop:
			stop, l.stopping = nil, true
			// By name, because the end of a parent reaches its children a moment later: what is released below must
			// not come straight back.
			endReceive()
			deadline = time.After(max(l.s.o.DrainTimeout, 0))
			l.releaseIdle(work)
		case <-deadline:
			deadline, abandon = nil, time.After(abandonAfter)
			l.cut(cut)
		case <-abandon:
			return l.end()
		}
	}
	return l.end()
}

func (l *loop) over() bool {
	return l.stopping && !l.asking && !l.acking && len(l.running) == 0 && len(l.unacked) == 0
}

// end waits for calls to the broker, each of which is bounded, and says what went wrong.
func (l *loop) end() error {
	l.dismiss()
	l.calls.Wait()
	l.gauge.Sub(float64(len(l.held)))
	if len(l.cutOff) == 0 {
		return l.err
	}
	slices.Sort(l.cutOff)
	return errors.Join(l.err, fmt.Errorf("%w: cut off while handling %s", errCutOff, strings.Join(l.cutOff, ", ")))
}

// begin starts what is ready, while there is room. Once the loop is stopping nothing is.
func (l *loop) begin(work context.Context, now time.Time) {
	if l.s.batchHandler != nil {
		l.beginBatches(work, now)
		return
	}
	for l.busy < l.s.o.Concurrency {
		it := l.next()
		if it == nil {
			return
		}
		l.hand(work, job{it: it})
	}
}

// ask receives more once fewer are ready than could run at once, and not many more than that: what waits here cannot
// be handled by another replica. What is queued behind its key, or waits for an attempt, is not counted, so that one
// busy key leaves the others their room.
func (l *loop) ask(ctx context.Context, now time.Time) {
	active := len(l.running) + len(l.ready)
	atOnce := l.s.o.Concurrency * max(l.s.batch, 1)
	n := min(2*atOnce-active, l.s.o.MaxInFlight-len(l.held))
	if l.asking || active > atOnce || n <= 0 || ctx.Err() != nil || now.Before(l.askAfter) {
		return
	}
	l.asking = true
	l.calls.Go(func() {
		ds, err := l.sub.Receive(ctx, n)
		l.received <- batch{ds, err, ctx.Err() != nil}
	})
}

// take takes in what was received, or notes that nothing could be.
func (l *loop) take(work context.Context, b batch) {
	l.asking = false
	items := make([]*item, len(b.ds))
	for i, d := range b.ds {
		items[i] = l.s.newItem(d)
	}
	if l.stopping || l.paused {
		l.giveBack(work, items, 0)
		return
	}
	l.gauge.Add(float64(len(items)))
	now := time.Now()
	for _, it := range items {
		l.admit(work, it, now)
	}
	if len(l.late) > 0 {
		l.revoke(work, l.late)
	}
	if !b.ended {
		l.noteOutage(work, b.err)
	}
}

// noteOutage logs the beginning and the end of a time in which nothing can be received, and slows down in between.
func (l *loop) noteOutage(ctx context.Context, err error) {
	switch {
	case err == nil && l.failures > 0:
		l.s.log.InfoContext(ctx, "subscription receives again", "failures", l.failures)
		l.failures = 0
	case err == nil:
	case resilience.IsPermanent(err), errors.Is(err, driver.ErrClosed):
		l.err = fmt.Errorf("receive: %w", err)
		l.fail(l.err)
	default:
		l.failures++
		if l.failures == 1 {
			l.s.log.WarnContext(ctx, "subscription cannot receive", "error", err)
		}
		l.askAfter = time.Now().Add(outageDelay(l.failures))
	}
}

// setAlarm makes alarm go off when something has to be done that nobody reports. One that was set before and is not
// needed any more is left to go off for nothing.
func (l *loop) setAlarm(alarm *time.Timer, now time.Time) {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if len(l.waiting) > 0 {
		sooner(l.waiting[0].due)
	}
	if !l.batchDue.IsZero() && l.busy < l.s.o.Concurrency {
		sooner(l.batchDue)
	}
	if l.askAfter.After(now) {
		sooner(l.askAfter)
	}
	if !next.IsZero() && !next.Equal(l.alarmAt) {
		alarm.Reset(max(next.Sub(now), 0))
		l.alarmAt = next
	}
}

// note takes in what a goroutine reports, and what others have reported meanwhile: what follows a report is done once
// for all of them.
func (l *loop) note(work context.Context, r report) {
	for {
		l.busy--
		l.finish(work, r.result)
		for _, more := range r.more {
			l.finish(work, more)
		}
		select {
		case r = <-l.done:
		default:
			return
		}
	}
}

// finish acts on what a handler's goroutine decided.
func (l *loop) finish(work context.Context, r result) {
	delete(l.running, r.it)
	leaving := l.stopping || l.paused || r.it.revoked
	if r.it.revoked {
		r.delay = 0 // whoever takes over decides
	}
	switch {
	case r.verdict == settled && leaving:
		l.release(work, l.takeLane(r.it)[1:], 0)
		l.unacked = append(l.unacked, r.it)
	case r.verdict == settled:
		l.pass(r.it)
		l.unacked = append(l.unacked, r.it)
	case r.verdict == again && !leaving:
		l.park(r.it, r.delay)
	default:
		// The whole key waits for as long as its head, so that it is not overtaken elsewhere.
		l.release(work, l.takeLane(r.it), r.delay)
	}
	r.it.settling = r.verdict == settled
}

// ack acknowledges what was settled since the last call, in one batch. The next message of a key does not wait for
// it: a lost acknowledgement costs a duplicate in either case.
func (l *loop) ack(work context.Context) {
	if l.acking || len(l.unacked) == 0 {
		return
	}
	items := l.unacked
	l.acking, l.unacked = true, nil
	l.settle(work, "acknowledge", items, l.sub.Ack, func() { l.acked <- items })
}

// extend renews the leases of all that is held. A lease is renewed when it has at least a third left.
func (l *loop) extend(work context.Context) {
	items := make([]*item, 0, len(l.held))
	for _, it := range l.held {
		if !it.settling {
			items = append(items, it)
		}
	}
	if l.extending || len(items) == 0 {
		return
	}
	l.extending = true
	l.settle(work, "extend", items, l.sub.Extend, func() { l.extended <- struct{}{} })
}

// release gives items that are held back to the broker.
func (l *loop) release(work context.Context, items []*item, delay time.Duration) {
	l.forget(items)
	l.giveBack(work, items, delay)
}

// giveBack is release for items that are not held.
func (l *loop) giveBack(work context.Context, items []*item, delay time.Duration) {
	if len(items) == 0 {
		return
	}
	l.settle(work, "release", items, func(ctx context.Context, ds []*driver.Delivery) error {
		return l.sub.Release(ctx, ds, delay)
	}, func() {})
}

// releaseIdle releases what does not run. What is queued behind a running one of its key stays until that one ends.
func (l *loop) releaseIdle(work context.Context) {
	l.stay()
	l.release(work, l.takeReady(), 0)
	for items := l.takeWaiting(); items != nil; items = l.takeWaiting() {
		l.release(work, items, max(time.Until(items[0].due), 0))
	}
}

// settle tells the broker something about items, in a goroutine, and then calls done. A failure is logged and leaves
// it to the lease: the messages come back.
func (l *loop) settle(work context.Context, what string, items []*item,
	call func(context.Context, []*driver.Delivery) error, done func(),
) {
	ds := make([]*driver.Delivery, len(items))
	for i, it := range items {
		ds[i] = it.d
	}
	l.calls.Go(func() {
		defer done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(work), settleTimeout)
		defer cancel()
		if err := call(ctx, ds); err != nil {
			l.s.log.WarnContext(ctx, "broker does not "+what+" messages, they may come back", "count", len(ds), "error", err)
		}
	})
}

// forget drops items that are in other hands now.
func (l *loop) forget(items []*item) {
	for _, it := range items {
		l.drop(it)
	}
	l.gauge.Sub(float64(len(items)))
}

// cut ends the contexts of the handlers that run.
func (l *loop) cut(cancel context.CancelCauseFunc) {
	for it := range maps.Keys(l.running) {
		l.cutOff = append(l.cutOff, it.id)
	}
	cancel(errCutOff)
}
