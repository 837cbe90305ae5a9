package mempubsub

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Broker keeps topics and subscriptions in memory. The zero value is ready. It must not be copied after first use.
type Broker struct {
	// Backlog bounds the messages that wait in one subscription: not delivered, or released. A full one makes Publish
	// wait. Zero means 10,000; negative means no bound. Set it before first use.
	Backlog int
	// History bounds the messages that a topic keeps for subscriptions that begin at its past, for Seek and for Browse;
	// the oldest goes first. Zero means 1,000; negative means none. Set it before first use.
	History int
	// DeadLetters bounds, in place of History, what a topic keeps that a subscription has named as its dead letter; the
	// oldest goes first. Zero means 10,000; negative means no bound. Set it before first use.
	DeadLetters int

	mu     sync.Mutex
	topics map[string]*topic
	room   chan struct{} // closed and replaced when a full queue gets room
}

type topic struct {
	name    string
	seq     uint64
	queues  map[string]*queue
	history []*stored // by seq
	dead    bool      // a subscription has named it as its dead letter
}

// System returns "in_memory", the messaging.system of its spans.
func (b *Broker) System() string { return "in_memory" }

// Publish hands ms to every subscription of topic, in order. It implements driver.Broker.
func (b *Broker) Publish(ctx context.Context, name string, ms []driver.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	t := b.topic(name)
	stored := t.store(ms, time.Now())
	b.keep(t, stored)
	// Each queue takes what it has room for, whatever becomes of the others.
	left := make([]*cursor, 0, len(t.queues))
	for _, q := range t.queues {
		left = append(left, &cursor{q: q})
	}
	for {
		left = slices.DeleteFunc(left, func(c *cursor) bool {
			c.next = c.q.push(stored, c.next, b.limit())
			return c.next == len(stored)
		})
		if len(left) == 0 {
			b.mu.Unlock()
			return nil
		}
		if b.room == nil {
			b.room = make(chan struct{})
		}
		room := b.room
		b.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return notStored(left, len(ms), ctx.Err())
		}
		b.mu.Lock()
	}
}

// cursor says how far one queue has got with a batch.
type cursor struct {
	q    *queue
	next int
}

// notStored names the messages from the first that some queue did not take.
func notStored(left []*cursor, n int, err error) error {
	first := n
	for _, c := range left {
		first = min(first, c.next)
	}
	e := &driver.PublishError{Err: fmt.Errorf("mempubsub: a subscription is full: %w", err)}
	for i := first; i < n; i++ {
		e.Indexes = append(e.Indexes, i)
	}
	return e
}

// Subscribe opens a subscription, which begins in the topic's history where o says so, with all of that at once,
// whatever Backlog is. Order across receivers is always kept. It implements driver.Broker.
func (b *Broker) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topic(o.Topic)
	q := t.queues[o.Name]
	if q == nil {
		q = newQueue()
		t.queues[o.Name] = q
		q.push(t.from(o.Start), 0, -1)
	}
	if o.DeadLetter != "" {
		b.topic(o.DeadLetter).dead = true
	}
	s := &subscription{b: b, q: q, lease: o.Lease, closed: make(chan struct{})}
	q.receivers = append(q.receivers, s)
	return s, nil
}

// Ping returns nil: the broker is this process.
func (b *Broker) Ping(context.Context) error { return nil }

func (b *Broker) limit() int { return cmp.Or(b.Backlog, 10_000) }

func (b *Broker) topic(name string) *topic {
	t := b.topics[name]
	if t == nil {
		t = &topic{name: name, queues: make(map[string]*queue)}
		if b.topics == nil {
			b.topics = make(map[string]*topic)
		}
		b.topics[name] = t
	}
	return t
}

// madeRoom wakes publishers that wait. Callers hold b.mu.
func (b *Broker) madeRoom() {
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}
