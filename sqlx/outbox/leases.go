package outbox

import (
	"context"
	"slices"
	"time"
)

// leases are the shards that this relay may read and publish.
type leases struct {
	mine  []int16   // ascending
	until time.Time // when they end, at the latest by our own clock; zero for not held
	next  int       // whose turn it is to be read first
}

func (l *leases) held() bool { return !l.until.IsZero() && len(l.mine) > 0 }

func (l *leases) drop() { l.mine, l.until = nil, time.Time{} }

// turn returns the shards in the order to read them in, another one first each time: those behind a large one would
// otherwise wait for all of it.
func (l *leases) turn() []int16 {
	l.next = (l.next + 1) % len(l.mine)
	return slices.Concat(l.mine[l.next:], l.mine[:l.next])
}

// lease takes leases, or renews them when half of their time is over. Each time the shards are divided anew by the
// relays that want some. A shard changes hands between two batches, so that what was sent of it is recorded by then.
func (r *Relay) lease(ctx context.Context) error {
	if r.leases.held() && time.Until(r.leases.until) > r.opt.Lease/2 {
		return nil
	}
	// From before the question, so that the database's clock is never behind ours.
	start := time.Now()
	had := r.leases.mine
	mine, err := r.store.claim(ctx, r.opt.Lease)
	if err != nil {
		r.leases.drop()
		return err
	}
	slices.Sort(mine)
	r.leases.mine, r.leases.until = mine, start.Add(r.opt.Lease*4/5)
	gave := false
	for _, n := range had {
		gave = gave || !slices.Contains(mine, n)
	}
	for _, n := range mine {
		if !slices.Contains(had, n) { // which all are when the relay had run out of rows
			r.floors.resetShard(n)
		}
	}
	if len(mine) == 0 {
		clear(r.topics) // whoever holds them finds out for itself
	}
	if gave {
		return r.store.yield(ctx, mine)
	}
	return nil
}
