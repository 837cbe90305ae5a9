package mempubsub

import (
	"container/list"
	"time"
)

// entry is one message in one queue.
type entry struct {
	*stored
	deliveries int
	holder     *subscription // who leases it, nil where it waits
	until      time.Time     // the end of the lease, or the earliest delivery of one that was released
	place      *list.Element // in waiting, nil while it is leased
	moved      bool          // came by Redeliver and was not taken since: its delay holds up nobody else
}

// queue is what one named subscription has not acknowledged. The broker's mutex guards it.
type queue struct {
	waiting   *list.List // of *entry, by seq
	leased    map[*entry]struct{}
	keys      map[string]keyHold
	receivers int           // that are open
	arrived   chan struct{} // closed and replaced when something may have become receivable; nil while nobody waits
}

// keyHold says who leases messages of a key, and how many.
type keyHold struct {
	holder *subscription
	n      int
}

func newQueue() *queue {
	return &queue{waiting: list.New(), leased: make(map[*entry]struct{}), keys: make(map[string]keyHold)}
}

// push appends ms from index i on while there is room, and returns the index of the first that found none.
func (q *queue) push(ms []*stored, i, limit int) int {
	for ; i < len(ms) && (limit < 0 || q.waiting.Len() < limit); i++ {
		e := &entry{stored: ms[i]}
		e.place = q.waiting.PushBack(e)
	}
	q.notify()
	return i
}

// take leases up to n waiting entries to s.
func (q *queue) take(s *subscription, n int, now time.Time) []*entry {
	var taken []*entry
	var skipped map[string]bool // keys whose first message cannot be taken yet
	for el := q.waiting.Front(); el != nil && len(taken) < n; {
		e := el.Value.(*entry)
		el = el.Next()
		if e.moved && e.until.After(now) {
			continue
		}
		hold := q.keys[e.Key]
		if e.until.After(now) || e.Key != "" && (skipped[e.Key] || hold.n > 0 && hold.holder != s) {
			if skipped == nil {
				skipped = make(map[string]bool)
			}
			skipped[e.Key] = true
			continue
		}
		q.waiting.Remove(e.place)
		e.place, e.holder, e.until, e.moved = nil, s, now.Add(s.lease), false
		e.deliveries++
		q.leased[e] = struct{}{}
		if e.Key != "" {
			q.keys[e.Key] = keyHold{s, hold.n + 1}
		}
		taken = append(taken, e)
	}
	return taken
}

// settle ends e's lease.
func (q *queue) settle(e *entry) {
	delete(q.leased, e)
	e.holder = nil
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
	for el := q.waiting.Front(); el != nil; el = el.Next() {
		if el.Value.(*entry).seq > e.seq {
			e.place = q.waiting.InsertBefore(e, el)
			return
		}
	}
	e.place = q.waiting.PushBack(e)
}

// expire puts back what nobody has settled in time.
func (q *queue) expire(now time.Time) {
	for e := range q.leased {
		if !e.until.After(now) {
			q.putBack(e, now)
		}
	}
}

// next returns when the next lease or delay ends, zero where there is none.
func (q *queue) next(now time.Time) time.Time {
	var first time.Time
	note := func(t time.Time) {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for e := range q.leased {
		note(e.until)
	}
	for el := q.waiting.Front(); el != nil; el = el.Next() {
		note(el.Value.(*entry).until)
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
