package pubsub

import (
	"context"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// finish acts on what a worker decided.
func (l *loop) finish(work context.Context, r result) {
	r.it.running = false
	l.running--
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

const (
	// ackBatch is how many messages are worth an acknowledgement of their own, whatever else is going on.
	ackBatch = 64
	// ackPause is how long fewer wait for more while others are being handled.
	ackPause = time.Millisecond
)

// enoughToAck reports whether what was settled is to be acknowledged without waiting for more.
func (l *loop) enoughToAck() bool {
	return len(l.unacked) > 0 && !l.acking && (len(l.unacked) >= ackBatch || len(l.ready) == 0)
}

// ack acknowledges what was settled since the last call, in one batch. The next message of a key does not wait for
// it: a lost acknowledgement costs a duplicate in either case.
func (l *loop) ack(work context.Context, now time.Time) {
	if l.acking || len(l.unacked) == 0 || !l.enoughToAck() && now.Before(l.ackAfter) {
		return
	}
	l.ackAfter = now.Add(ackPause)
	items := l.unacked
	l.acking, l.unacked = true, nil
	l.settle(work, "acknowledge", items, l.sub.Ack, func() { l.acked <- items })
}

func (l *loop) noteAcked(items []*item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acking = false
	l.forget(items)
}

// extend renews the leases of all that is held. A lease is renewed when it has at least a third left.
func (l *loop) extend(work context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
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

func (l *loop) noteExtended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extending = false
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
