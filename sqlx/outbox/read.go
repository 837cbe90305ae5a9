package outbox

import (
	"context"
	"slices"
	"time"
)

// leastEach is how many rows of a shard are read at least, where a batch has room for them.
const leastEach = 16

// read returns the next rows, and whether there may be more.
func (r *Relay) read(ctx context.Context) (rows []row, more bool, err error) {
	q := query{shards: r.leases.turn(), except: r.blocked(), limit: r.opt.BatchSize, behind: r.behind}
	q.each = max(r.each, ceil(q.limit, len(q.shards)), min(q.limit, leastEach))
	r.dropFloors(q.except)
	for _, n := range q.shards {
		q.after = append(q.after, r.floors.shards[n].after)
	}
	rows, full, err := r.store.next(ctx, q)
	if err != nil {
		return nil, false, err
	}
	for _, topic := range q.except {
		r.held[topic] = true
	}
	r.floors.read(q.shards, rows, full)
	r.behind = full || r.store.isPostgres() && most(rows) >= q.each
	r.each = nextEach(q, full, r.behind)
	return rows, r.behind, nil
}

// nextEach returns how many rows of a shard to read next, so that a batch is full though most shards may be empty, and
// of as many shards as it can be: those of one shard alone are far apart on the disk.
func nextEach(q query, full, more bool) int {
	switch {
	case full:
		return q.each * 3 / 4
	case more:
		return min(2*q.each, q.limit)
	}
	return q.each
}

func ceil(n, by int) int { return (n + by - 1) / by }

// most returns how many rows the shard has that has most of them.
func most(rows []row) int {
	of, m := map[int16]int{}, 0
	for _, r := range rows {
		of[r.shard]++
		m = max(m, of[r.shard])
	}
	return m
}

// dropFloors drops the floors where a topic is to be read again of which rows were held back, since those have lower
// numbers than what went on meanwhile, and every so often.
func (r *Relay) dropFloors(except []string) {
	due := time.Now().After(r.floorDue)
	for topic := range r.held {
		due = due || !slices.Contains(except, topic)
	}
	if due {
		r.floors.reset()
		clear(r.held)
		r.floorDue = time.Now().Add(floorInterval)
	}
}
