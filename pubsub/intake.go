package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
)

// intake is what one Receive returned.
type intake struct {
	items []*item
	err   error
	ended bool // the context had ended, which explains err
	full  bool // it is all that was asked for
}

const (
	// maxWindow bounds how many messages are asked for ahead of the workers, where these would not take more anyway.
	maxWindow = 512
	// soon is how long what is asked for may last, as far as one can tell: what waits here cannot be handled by another
	// replica.
	soon = 10 * time.Millisecond
)

// least is the window of handlers that take their time: one message for each that may run, and one to follow it.
func (l *loop) least() int { return 2 * l.s.o.Concurrency * max(l.s.batch, 1) }

// adapt makes the window fit what the workers took since the last call: twice as large where a whole one lasted less
// than soon, half where it lasted long.
func (l *loop) adapt(now time.Time) {
	took := now.Sub(l.askedAt)
	l.askedAt = now
	switch {
	case l.full && took < soon:
		l.window = min(2*l.window, max(maxWindow, l.least()))
	case took > 2*soon:
		l.window = max(l.window/2, l.least())
	}
}

// hungry reports whether more has to be received: fewer are ready or run than half the window. What is queued behind
// its key, or waits for an attempt, is not counted, so that one busy key leaves the others their room. Where there is
// little room, and acknowledgements are about to make more, it waits for these.
func (l *loop) hungry() bool {
	active, room := l.running+len(l.ready), l.s.o.MaxInFlight-len(l.held)
	if l.asking || !l.askAfter.IsZero() || active > l.window/2 || room <= 0 {
		return false
	}
	return room >= l.window/4 || len(l.unacked) == 0 && !l.acking
}

// ask receives more where that is needed.
func (l *loop) ask(ctx context.Context, now time.Time) {
	if !l.hungry() || ctx.Err() != nil {
		return
	}
	if l.adapt(now); !l.hungry() {
		return // by the smaller window
	}
	n := min(l.window-l.running-len(l.ready), l.s.o.MaxInFlight-len(l.held))
	l.asking = true
	l.calls.Go(func() {
		ds, err := l.sub.Receive(ctx, n)
		in := intake{items: make([]*item, len(ds)), err: err, ended: ctx.Err() != nil}
		for i, d := range ds {
			in.items[i] = l.s.newItem(d)
		}
		in.full = len(ds) == n
		l.received <- in
	})
}

// take takes in what was received, or notes that nothing could be.
func (l *loop) take(work context.Context, in intake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking, l.full = false, in.full
	if l.stopping || l.paused {
		l.giveBack(work, in.items, 0)
		return
	}
	l.gauge.Add(float64(len(in.items)))
	now := time.Now()
	for _, it := range in.items {
		l.admit(work, it, now)
	}
	if len(l.late) > 0 {
		l.letGo(work, l.late)
	}
	if !in.ended {
		l.noteOutage(work, in.err)
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
