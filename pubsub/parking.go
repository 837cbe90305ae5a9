package pubsub

import (
	"container/heap"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// maxToldAttempts bounds what a message may claim to have behind it.
const maxToldAttempts = 1_000_000

// recall reads what a moved message has behind it. What a stranger wrote wrongly counts as nothing, and so
// does a time that is farther away than this subscription ever waits.
func (s *Subscription) recall(it *item, now time.Time) {
	attrs := it.d.Attributes
	if n, err := strconv.Atoi(attrs.Get(attrMovedAttempts)); err == nil && 0 < n && n <= maxToldAttempts {
		// Whatever the broker says: it counts also the deliveries that came too early.
		it.failures, it.m.Attempt = n, n+1
	}
	if t, err := time.Parse(time.RFC3339Nano, attrs.Get(attrMovedFirst)); err == nil && !t.After(now) {
		it.failed = t
	}
	latest := now.Add(max(s.o.Retry.MaxBackoff, maxRetryAfter))
	if t, err := time.Parse(time.RFC3339Nano, attrs.Get(attrMovedNotBefore)); err == nil && !t.After(latest) {
		it.due = t
	}
}

// crowded reports whether a message may not wait here for as long as delay.
func (l *loop) crowded(delay time.Duration) bool {
	o := &l.s.o
	return l.s.mover != nil && (o.MaxInPlaceDelay > 0 && delay > o.MaxInPlaceDelay || len(l.waiting) >= o.MaxParked)
}

// admit takes in what was received. A moved message that is early waits, here or at the broker, and does not hold up
// its key: that went on when it was moved.
func (l *loop) admit(work context.Context, it *item, now time.Time) {
	early := it.due.Sub(now)
	switch {
	case early <= 0:
		l.add(it)
	case l.crowded(early):
		l.hold(it)
		l.release(work, []*item{it}, early)
	default:
		l.hold(it)
		it.outside = true
		heap.Push(&l.waiting, it)
	}
}

// park makes it wait for its next attempt, its key with it. Where there is no room for that, the next step is to move
// it, which ends in settled, so that its key goes on.
func (l *loop) park(it *item, delay time.Duration) {
	it.due = time.Now().Add(delay)
	if it.dead == nil && !it.stays && l.crowded(delay) {
		it.moving = true
		l.ready = append(l.ready, it)
		return
	}
	heap.Push(&l.waiting, it)
}

// stay gives up the moves that have not begun.
func (q *dispatch) stay() {
	q.ready = slices.DeleteFunc(q.ready, func(it *item) bool {
		if !it.moving {
			return false
		}
		it.moving = false
		heap.Push(&q.waiting, it)
		return true
	})
}

// move stores a copy of it for the time of its next attempt. The original may be acknowledged only then; where the
// copy cannot be stored, the message stays, as if there were room.
func (s *Subscription) move(ctx context.Context, it *item) result {
	it.moving = false
	storing, cancel := settling(ctx)
	defer cancel()
	delay := max(time.Until(it.due), 0)
	err := s.mover.Redeliver(storing, s.topic, s.name, []driver.Message{s.moved(it)}, delay)
	switch {
	case err == nil:
		s.client.observer.moved.WithLabelValues(s.topic, s.name).Inc()
		return result{it: it, verdict: settled}
	case ctx.Err() != nil:
		return result{it: it, verdict: released, delay: delay}
	}
	it.stays = true
	s.log.WarnContext(ctx, "message cannot be moved out of the way of its key, it is kept",
		append(logged(it.m, err), "retry_in", delay)...)
	return result{it: it, verdict: again, delay: max(time.Until(it.due), 0)}
}

// moved returns the original, untouched, with attributes that say what it has behind it.
func (s *Subscription) moved(it *item) driver.Message {
	attrs := identified(it)
	attrs.Set(attrMovedAttempts, strconv.Itoa(it.failures))
	attrs.Set(attrMovedNotBefore, it.due.UTC().Format(time.RFC3339Nano))
	attrs.Set(attrMovedFirst, it.failed.UTC().Format(time.RFC3339Nano))
	return driver.Message{ID: it.m.ID, Key: it.m.Key, Attributes: attrs, Data: it.d.Data}
}

// identified returns a copy of it's attributes with the identity that the handler saw, which a stranger's message does
// not bring along.
func identified(it *item) driver.Attributes {
	attrs := append(make(driver.Attributes, 0, len(it.d.Attributes)+12), it.d.Attributes...)
	attrs.Set(attrID, it.m.ID)
	attrs.Set(attrCorrelation, it.m.CorrelationID)
	attrs.Delete(attrCausation) // what is hostile stays out
	attrs = appendIf(attrs, attrCausation, it.m.CausationID)
	if it.m.Key != "" {
		attrs.Set(attrKey, it.m.Key)
	}
	return attrs
}
