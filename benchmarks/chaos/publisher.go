package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
)

const (
	publishers = 4
	// batchSize bounds one call of Publish. A batch often has several messages of one key.
	batchSize = 100
	// publishTimeout bounds it in time: less than the broker stands still.
	publishTimeout = 2 * time.Second
	publishPause   = 100 * time.Millisecond
)

// publisher publishes the messages of keys of its own, in order within a key.
type publisher struct {
	to     pubsub.Publisher
	keys   []string
	random *rand.Rand
	left   int              // messages to be sent
	sent   map[string]int64 // how many of each key are stored, and which: 1 to that number
	done   *atomic.Int64    // messages stored, of all publishers
	again  *atomic.Int64    // messages published once more
}

// run spreads the messages over span; behind it, it hurries.
func (p *publisher) run(ctx context.Context, span time.Duration) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began, all := time.Now(), p.left; p.left > 0; {
		due := all
		if passed := time.Since(began); passed < span {
			due = int(float64(all) * passed.Seconds() / span.Seconds())
		}
		if n := min(due-(all-p.left), batchSize); n > 0 {
			if err := p.batch(ctx, n); err != nil {
				return err
			}
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// batch publishes n new messages, and those again, under their IDs, that may not be stored.
func (p *publisher) batch(ctx context.Context, n int) error {
	ms := make([]*pubsub.Message, n)
	last := make(map[string]int64)
	for i := range ms {
		key := p.keys[p.random.IntN(len(p.keys))]
		last[key] = max(last[key], p.sent[key]) + 1
		m, err := events.Message(event{Key: key, Seq: last[key]})
		if err != nil {
			return err
		}
		ms[i] = m
	}
	for {
		err := p.to.Publish(ctx, events.Name(), ms...)
		if err == nil {
			break
		}
		if ctx.Err() != nil || resilience.IsPermanent(err) {
			return fmt.Errorf("publish: %w", err)
		}
		ms = unstored(ms, err)
		p.again.Add(int64(len(ms)))
		if err := sleep(ctx, publishPause); err != nil {
			return err
		}
	}
	for key, seq := range last {
		p.sent[key] = seq
	}
	p.left -= n
	p.done.Add(int64(n))
	return nil
}

// unstored returns those of ms that may not be stored after err.
func unstored(ms []*pubsub.Message, err error) []*pubsub.Message {
	var partial *driver.PublishError
	if !errors.As(err, &partial) {
		return ms
	}
	left := make([]*pubsub.Message, len(partial.Indexes))
	for i, at := range partial.Indexes {
		left[i] = ms[at]
	}
	return slices.Clip(left)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
