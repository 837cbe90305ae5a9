package mempubsub

import (
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// entry is one message in one queue.
type entry struct {
	*stored
	deliveries int
	first      driver.Delivery // room for the first of them
	holder     *subscription   // who leases it, nil where it waits
	until      time.Time       // the end of the lease, or the earliest delivery of one that was released
	moved      bool            // came by Redeliver and was not taken since: its delay holds up nobody else

	list       *entryList // the queue's waiting or its holder's leased; nil once it is settled
	prev, next *entry
}

// delivery returns e as it is delivered now. What was delivered before may still be read by whoever lost it.
func (e *entry) delivery() *driver.Delivery {
	d := &e.first
	if e.deliveries > 1 {
		d = new(driver.Delivery)
	}
	*d = driver.Delivery{
		Message: e.Message, Attempt: e.deliveries, Published: e.published, Position: e.position, Handle: e,
	}
	return d
}

// queue is what one named subscription has not acknowledged. The broker's mutex guards it.
type queue struct {
	waiting   entryList // by seq
	receivers []*subscription
	keys      map[string]keyHold
	arrived   chan struct{} // closed and replaced when something may have become receivable; nil while nobody waits
}

// keyHold says who leases messages of a key, and how many.
type keyHold struct {
	holder *subscription
	n      int
}

func newQueue() *queue { return &queue{keys: make(map[string]keyHold)} }

// push appends ms from index i on while there is room, and returns the index of the first that found none.
func (q *queue) push(ms []*stored, i, limit int) int {
	end := len(ms)
	if limit >= 0 {
		end = min(end, i+max(limit-q.waiting.n, 0))
	}
	for part := range slices.Chunk(ms[i:end], together) {
		room := make([]entry, len(part))
		for i, m := range part {
			room[i].stored = m
			q.waiting.insert(&room[i], nil)
		}
	}
	q.notify()
	return end
}

// take leases up to n waiting entries to s.
func (q *queue) take(s *subscription, n int, now time.Time) []*driver.Delivery {
	taken := make([]*driver.Delivery, 0, min(n, q.waiting.n))
	var skipped map[string]bool // keys whose first message cannot be taken yet
	for at := q.waiting.front; at != nil && len(taken) < n; {
		e := at
		at = at.next
		early := !e.until.IsZero() && e.until.After(now)
		if early && (e.moved || e.Key == "") {
			continue
		}
		hold := q.hold(e.Key)
		if early || e.Key != "" && (skipped[e.Key] || hold.n > 0 && hold.holder != s) {
			if skipped == nil {
				skipped = make(map[string]bool)
			}
			skipped[e.Key] = true
			continue
		}
		q.waiting.remove(e)
		e.holder, e.until, e.moved = s, now.Add(s.lease), false
		s.leased.insert(e, nil)
		e.deliveries++
		if e.Key != "" {
			q.keys[e.Key] = keyHold{s, hold.n + 1}
		}
		taken = append(taken, e.delivery())
	}
	return taken
}

func (q *queue) hold(key string) keyHold {
	if key == "" {
		return keyHold{}
	}
	return q.keys[key]
}

// settle ends e's lease.
func (q *queue) settle(e *entry) {
	e.list.remove(e)
	e.holder = nil
	if e.Key == "" {
		return
	}
	if hold := q.keys[e.Key]; hold.n > 1 {
		q.keys[e.Key] = keyHold{hold.holder, hold.n - 1}
	} else {
		delete(q.keys, e.Key)
	}
}

// putBack ends e's lease and queues it at its old place, not to be taken before until.
func (q *queue) putBack(e *entry, until time.Time) {
	q.settle(e)
	e.until = until
	at := q.waiting.front
	for at != nil && at.seq < e.seq {
		at = at.next
	}
	q.waiting.insert(e, at)
}

// expire puts back what nobody has settled in time.
func (q *queue) expire(now time.Time) {
	for _, s := range q.receivers {
		for e := s.leased.front; e != nil && !e.until.After(now); e = s.leased.front {
			q.putBack(e, now)
		}
	}
}

// due returns when the next lease or delay ends, zero where there is none.
func (q *queue) due(now time.Time) time.Time {
	var first time.Time
	note := func(e *entry) {
		if t := e.until; t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, s := range q.receivers {
		if e := s.leased.front; e != nil {
			note(e)
		}
	}
	for e := q.waiting.front; e != nil; e = e.next {
		note(e)
	}
	return first
}

// notify wakes those who wait to receive.
func (q *queue) notify() {
	if q.arrived != nil {
		close(q.arrived)
		q.arrived = nil
	}
}
