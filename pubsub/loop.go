package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub/driver"
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

// loop runs an open subscription. Workers take what is ready, run it and enter what came of it, under mu; so does what
// the broker answers. One goroutine, run, does all else: it decides what to ask of the broker, watches the clock and
// ends the rest. Every call that may block is made outside of mu, and none by run itself.
type loop struct {
	s       *Subscription
	sub     driver.Subscription
	gauge   prometheus.Gauge
	revoked *revocations
	fail    context.CancelCauseFunc // stops the loop

	received chan intake
	acked    chan []*item
	extended chan struct{}
	turn     chan struct{}  // holds a token when run has to look
	exited   chan struct{}  // one for each worker that has ended
	calls    sync.WaitGroup // of calls to the broker

	mu sync.Mutex
	dispatch
	unacked  []*item            // handled, to be acknowledged with the next batch
	late     []*driver.Delivery // revoked while a Receive was under way that may return them
	cutOff   []string           // messages whose handlers ran out of time
	err      error              // why it stopped by itself
	stopping bool               // nothing more is begun
	paused   bool               // nor now

	more      sync.Cond // of idle workers
	workers   int       // that were begun
	idle      int       // that wait for more
	busy      int       // that have something to do
	roused    bool      // one that was idle, or is new, has still to look
	dismissed bool      // no more is to come

	asking    bool // a Receive is under way
	acking    bool
	extending bool
	nudged    bool      // turn has its token
	window    int       // how many messages may be here before any worker takes them
	full      bool      // the last Receive returned all that it was asked for
	askedAt   time.Time // when it was asked
	failures  int       // of Receive, in a row
	askAfter  time.Time // not before then; zero for at once
	ackAfter  time.Time // not before then, unless there is enough
	batchDue  time.Time // when what is ready no longer waits for a batch to fill
	alarmAt   time.Time // when the alarm goes off, as far as somebody waits for it
}

func newLoop(s *Subscription, sub driver.Subscription, revoked *revocations) *loop {
	l := &loop{
		s: s, sub: sub, revoked: revoked,
		dispatch: dispatch{lanes: make(map[string][]*item)},
		gauge:    s.client.observer.process.InFlight(s.topic, s.name),
		received: make(chan intake, 1),
		acked:    make(chan []*item, 1),
		extended: make(chan struct{}, 1),
		turn:     make(chan struct{}, 1),
		// Room for every worker, so that one whose handler was left behind can end.
		exited: make(chan struct{}, s.o.Concurrency),
	}
	l.more.L = &l.mu
	l.window = l.least()
	return l
}

// run handles messages until ctx ends or the broker refuses for good, then drains.
func (l *loop) run(ctx context.Context) error {
	ctx, l.fail = context.WithCancelCause(ctx)
	defer l.fail(nil)
	// Handlers, and calls that settle messages, go on while the loop drains.
	work, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	receive, endReceive := context.WithCancel(ctx)
	defer func() { endReceive() }()
	lease := time.NewTicker(l.s.o.Lease / 3)
	defer lease.Stop()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()

	var deadline, abandon <-chan time.Time // nil until the drain gets there
	stop, drain := ctx.Done(), (<-chan struct{})(l.s.draining)
	for l.look(work, receive, alarm) {
		select {
		case <-l.turn:
		case in := <-l.received:
			l.take(work, in)
		case items := <-l.acked:
			l.noteAcked(items)
		case <-l.extended:
			l.noteExtended()
		case <-l.revoked.some:
			l.revoke(work)
		case <-l.s.pausing:
			receive, endReceive = l.heed(ctx, work, receive, endReceive)
		case <-lease.C:
			l.extend(work)
		case <-alarm.C:
			l.ring()
		case <-drain:
			drain = nil
			endReceive()
		case <-stop:
			stop = nil
			l.stop(work, endReceive)
			deadline = time.After(max(l.s.o.DrainTimeout, 0))
		case <-deadline:
			deadline, abandon = nil, time.After(abandonAfter)
			l.cut(cut)
		case <-abandon:
			return l.end()
		}
	}
	return l.end()
}

// look does what is to be done now. It returns false when the loop is over.
func (l *loop) look(work, receive context.Context, alarm *time.Timer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nudged = false
	now := time.Now()
	if !l.askAfter.After(now) {
		l.askAfter = time.Time{}
	}
	l.rouse(work)
	l.ask(receive, now)
	l.ack(work, now)
	if next := l.alarm(); !next.IsZero() && !next.Equal(l.alarmAt) {
		alarm.Reset(max(next.Sub(now), 0))
		l.alarmAt = next
	}
	return !l.over()
}

func (l *loop) over() bool {
	return l.stopping && !l.asking && l.busy == 0 && len(l.unacked) == 0
}

// nudge makes run look, where it has something to do.
func (l *loop) nudge() {
	if l.nudged {
		return
	}
	next := l.alarm()
	if l.enoughToAck() || l.hungry() || l.stopping || !next.IsZero() && !next.Equal(l.alarmAt) {
		l.nudged = true
		select {
		case l.turn <- struct{}{}:
		default:
		}
	}
}

// alarm returns when something has to be done that nobody reports, zero for never. An alarm that was set before and is
// not needed any more is left to go off for nothing.
func (l *loop) alarm() time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if len(l.waiting) > 0 {
		sooner(l.waiting[0].due)
	}
	if !l.batchDue.IsZero() && !l.roused && l.busy < l.s.o.Concurrency {
		sooner(l.batchDue)
	}
	if !l.askAfter.IsZero() {
		sooner(l.askAfter)
	}
	if len(l.unacked) > 0 && !l.acking {
		sooner(l.ackAfter)
	}
	return next
}

// ring is what the alarm was set for: look does the rest.
func (l *loop) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alarmAt = time.Time{}
	l.wake(time.Now())
}

// stop begins the drain.
func (l *loop) stop(work context.Context, endReceive context.CancelFunc) {
	// By name, because the end of a parent reaches its children a moment later: what is released below must not come
	// straight back.
	endReceive()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	l.releaseIdle(work)
}

// cut ends the contexts of the handlers that run.
func (l *loop) cut(cancel context.CancelCauseFunc) {
	l.mu.Lock()
	for _, it := range l.held {
		if it.running {
			l.cutOff = append(l.cutOff, it.id)
		}
	}
	l.mu.Unlock()
	cancel(errCutOff)
}

// end waits for workers, and for calls to the broker, each of which is bounded, and says what went wrong.
func (l *loop) end() error {
	l.dismiss()
	l.calls.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gauge.Sub(float64(len(l.held)))
	if len(l.cutOff) == 0 {
		return l.err
	}
	slices.Sort(l.cutOff)
	return errors.Join(l.err, fmt.Errorf("%w: cut off while handling %s", errCutOff, strings.Join(l.cutOff, ", ")))
}
