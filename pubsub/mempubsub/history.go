package mempubsub

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// keep adds ms to what t remembers, and forgets the oldest past the bound. Callers hold b.mu.
func (b *Broker) keep(t *topic, ms []*stored) {
	limit := cmp.Or(b.History, 1_000)
	switch {
	case t.dead && b.DeadLetters < 0:
		limit = len(t.history) + len(ms)
	case t.dead:
		limit = cmp.Or(b.DeadLetters, 10_000)
	case limit < 0:
		return
	}
	t.history = append(t.history, ms...)
	if over := len(t.history) - limit; over > 0 {
		clear(t.history[:over]) // or the array would keep them
		t.history = t.history[over:]
	}
}

// from returns what t remembers from start on.
func (t *topic) from(start driver.Start) []*stored {
	switch {
	case start.Earliest:
		return t.history
	case start.Time.IsZero():
		return nil
	}
	i := slices.IndexFunc(t.history, func(m *stored) bool { return !m.published.Before(start.Time) })
	if i < 0 {
		return nil
	}
	return t.history[i:]
}

// Browse returns what topic keeps. It implements driver.Browser.
func (b *Broker) Browse(ctx context.Context, name, cursor string, n int) ([]*driver.Delivery, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, cursor, err
	}
	after, err := strconv.ParseUint(cmp.Or(cursor, "0"), 10, 64)
	if err != nil {
		return nil, cursor, fmt.Errorf("mempubsub: browse %q: cursor %q is none of Browse's", name, cursor)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil || n <= 0 {
		return nil, cursor, nil
	}
	at, _ := slices.BinarySearchFunc(t.history, after, func(m *stored, after uint64) int {
		return cmp.Compare(m.seq, after+1)
	})
	page := t.history[at:min(at+n, len(t.history))]
	ds := make([]*driver.Delivery, len(page))
	for i, m := range page {
		ds[i] = &driver.Delivery{Message: m.Message, Published: m.published, Position: m.position, Handle: m}
		cursor = strconv.FormatUint(m.seq, 10)
	}
	return ds, cursor, nil
}

// Remove forgets ds, and takes them from the subscriptions in which they wait. It implements driver.Browser.
func (b *Broker) Remove(ctx context.Context, name string, ds []*driver.Delivery) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	gone := make(map[*stored]bool, len(ds))
	for _, d := range ds {
		m, ok := d.Handle.(*stored)
		if !ok {
			return fmt.Errorf("mempubsub: remove %q: %s was not browsed", name, d.Position)
		}
		gone[m] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		return nil
	}
	t.history = slices.DeleteFunc(t.history, func(m *stored) bool { return gone[m] })
	for _, q := range t.queues {
		q.forget(gone)
	}
	b.madeRoom()
	return nil
}

// forget drops what waits and is gone.
func (q *queue) forget(gone map[*stored]bool) {
	for at := q.waiting.front; at != nil; {
		e := at
		at = at.next
		if gone[e.stored] {
			q.waiting.remove(e)
		}
	}
	q.notify() // it may have been the first of its key
}

// Seek makes the subscription called name hold what the topic keeps from to on, and nothing else: what waited before,
// redelivered messages included, is dropped. It returns an error while somebody receives. It implements driver.Seeker.
func (b *Broker) Seek(ctx context.Context, topic, name string, to driver.Start) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t, q, err := b.existing(topic, name)
	if err != nil {
		return err
	}
	if len(q.receivers) > 0 {
		return fmt.Errorf("mempubsub: seek: subscription %q of %q has %d receivers, want none", name, topic, len(q.receivers))
	}
	for q.waiting.front != nil {
		q.waiting.remove(q.waiting.front)
	}
	q.push(t.from(to), 0, -1)
	b.madeRoom()
	return nil
}

// Redeliver hands ms to one subscription alone, exactly after delay. It does not wait for room: what is redelivered was
// that subscription's before. It implements driver.Redeliverer.
func (b *Broker) Redeliver(
	ctx context.Context, topic, name string, ms []driver.Message, delay time.Duration,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t, q, err := b.existing(topic, name)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, m := range t.store(ms, now) {
		q.waiting.insert(&entry{stored: m, moved: true, until: now.Add(delay)}, nil)
	}
	q.notify()
	return nil
}

// existing returns a subscription that was opened before. Callers hold b.mu.
func (b *Broker) existing(name, subscription string) (*topic, *queue, error) {
	if t := b.topics[name]; t != nil && t.queues[subscription] != nil {
		return t, t.queues[subscription], nil
	}
	return nil, nil, fmt.Errorf("mempubsub: topic %q has no subscription %q", name, subscription)
}
