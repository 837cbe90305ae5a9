package pubsub

import (
	"container/heap"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// item is one delivery in this process's hands.
type item struct {
	d        *driver.Delivery
	id, key  string
	m        *Message        // as of the attempt that runs, or that comes next; while one runs, that goroutine's
	own      *attemptContext // of the first attempt; nil once it has begun
	failures int             // attempts of this delivery that failed
	failed   time.Time       // when the first of them did
	dead     *burial         // set once the message has to go to the dead letter
	due      time.Time
	slot     int  // index in dispatch.held
	running  bool // a worker has it
	settling bool // its acknowledgement is under way
	moving   bool // its next step is to be moved
	stays    bool // it could not be moved
	outside  bool // it waits and holds up no key: it has no lane
	revoked  bool // the broker takes it back: it leaves, and its key with it
}

// alone reports whether its next step is one that no batch takes part in.
func (it *item) alone() bool { return it.dead != nil || it.moving }

// context returns the context of its next attempt, to be begun.
func (it *item) context() *attemptContext {
	c := it.own
	it.own = nil
	if c == nil {
		c = &attemptContext{} // somebody may still have that of the attempt before
	}
	return c
}

// dispatch decides what runs next. It is plain state: who has it locks.
//
// An item is ready, running, waiting for its time, or queued behind the current item of its key. Each key with an
// item that is one of the first three has a lane, which holds those queued behind it. A waiting item that is outside has
// no part in that until it wakes.
type dispatch struct {
	ready   []*item // in order of arrival
	waiting dueHeap
	lanes   map[string][]*item
	running int
	held    []*item // all of the above, the running and those being acknowledged, in no order
}

// add takes a delivery in.
func (q *dispatch) add(it *item) {
	q.hold(it)
	q.enter(it)
}

// hold notes that it is here.
func (q *dispatch) hold(it *item) {
	it.slot = len(q.held)
	q.held = append(q.held, it)
}

// enter makes it ready, or queues it behind the current item of its key.
func (q *dispatch) enter(it *item) {
	if key := it.key; key != "" {
		if behind, busy := q.lanes[key]; busy {
			q.lanes[key] = append(behind, it)
			return
		}
		q.lanes[key] = nil
	}
	q.ready = append(q.ready, it)
}

// next takes the item that has been ready longest, nil where there is none.
func (q *dispatch) next() *item {
	if len(q.ready) == 0 {
		return nil
	}
	it := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	return it
}

// wake makes ready what is due.
func (q *dispatch) wake(now time.Time) {
	for len(q.waiting) > 0 && !q.waiting[0].due.After(now) {
		it := heap.Pop(&q.waiting).(*item)
		if it.outside {
			it.outside = false
			q.enter(it)
			continue
		}
		q.ready = append(q.ready, it)
	}
}

// pass ends it as the current item of its key and makes the next one ready.
func (q *dispatch) pass(it *item) {
	behind, ok := q.lanes[it.key]
	switch {
	case !ok:
	case len(behind) == 0:
		delete(q.lanes, it.key)
	default:
		q.ready = append(q.ready, behind[0])
		behind[0] = nil
		q.lanes[it.key] = behind[1:]
	}
}

// drop forgets it.
func (q *dispatch) drop(it *item) {
	last := len(q.held) - 1
	moved := q.held[last]
	q.held[it.slot], q.held[last] = moved, nil
	moved.slot = it.slot
	q.held = q.held[:last]
}

// takeLane takes it, which must be current or outside, and all that is queued behind it.
func (q *dispatch) takeLane(it *item) []*item {
	if it.outside {
		return []*item{it}
	}
	items := append([]*item{it}, q.lanes[it.key]...)
	delete(q.lanes, it.key)
	return items
}

// takeReady takes what is ready, with what is queued behind.
func (q *dispatch) takeReady() []*item {
	var items []*item
	for it := q.next(); it != nil; it = q.next() {
		items = append(items, q.takeLane(it)...)
	}
	return items
}

// takeWaiting takes one waiting item, with what is queued behind, nil where there is none.
func (q *dispatch) takeWaiting() []*item {
	if len(q.waiting) == 0 {
		return nil
	}
	return q.takeLane(heap.Pop(&q.waiting).(*item))
}

// takeRevoked takes what does not run and is revoked, with what is queued behind.
func (q *dispatch) takeRevoked() []*item {
	var items []*item
	take := func(it *item) bool {
		if it.revoked {
			items = append(items, q.takeLane(it)...)
		}
		return it.revoked
	}
	q.ready = slices.DeleteFunc(q.ready, take)
	q.waiting = slices.DeleteFunc(q.waiting, take)
	heap.Init(&q.waiting)
	return items
}

// dueHeap is a container/heap of items, the earliest due first.
type dueHeap []*item

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(*item)) }
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return it
}
