package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

// flat is by how much a message of a large backlog may cost more than one of the smallest.
const flat = 1.1

// smallest is how many messages of the smallest backlog are moved altogether: one of them is over too soon.
const smallest = 20_000

func measureBacklogs(ctx context.Context, w io.Writer, s *server, e effort) (err error) {
	fmt.Fprint(w, "\nbacklog\n\n")
	dsn, err := s.database(ctx)
	if err != nil {
		return err
	}
	db, box, err := openKit(ctx, dsn, 4)
	if err != nil {
		return err
	}
	defer db.Close()
	c := &counter{done: make(chan struct{}, 1)}
	// Batches of half the smallest backlog, so that there is a second one to measure.
	stop := startRelay(box, c, outbox.RelayOptions{BatchSize: 500, PollInterval: 50 * time.Millisecond})
	defer func() { err = errors.Join(err, stop()) }()
	base, other := e.backlogs[0], e.backlogs[1:]
	measure := func(size int) func() (float64, error) {
		return func() (float64, error) { return drain(ctx, db, c, size) }
	}
	contest := func(name string, size, pairs int) error {
		measured, err := bench.Interleave(pairs, measure(size), measure(base))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		row := bench.NewRow(name, "ns", flat, measured, func(ns float64) float64 { return ns })
		return bench.Report(w, "mainstay", fmt.Sprintf("of %d", base), row)
	}
	if _, err := measure(base)(); err != nil { // statements are prepared by then
		return err
	}
	for _, size := range other {
		if err := contest(fmt.Sprintf("a message of %d", size), size, e.pairs); err != nil {
			return err
		}
	}
	_, err = db.ExecContext(ctx, `INSERT INTO mainstay_outbox_sent
		(sent_ms, seq, topic, message_id, message_key, envelope, data, created_ms)
		SELECT i, i, 'order.created', gen_random_uuid(), 'k', '{"type":"order.created"}', $2, i
		FROM generate_series(1, CAST($1 AS INT)) AS i`, e.retained, payload)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("a message of %d, %d delivered kept", other[0], e.retained)
	return contest(name, other[0], e.pairs)
}

// drain stores backlogs of size messages, has each moved, and returns the nanoseconds of a message from the first batch
// on. The relay is there before the rows, as it is in a service.
func drain(ctx context.Context, db *sql.DB, c *counter, size int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var took time.Duration
	var moved int
	for moved == 0 || moved < smallest && size < smallest {
		c.expect(size)
		if _, err := db.ExecContext(ctx, fill, size, payload); err != nil {
			return 0, err
		}
		if err := c.wait(ctx); err != nil {
			return 0, err
		}
		took += c.last.Sub(c.first)
		moved += size - c.head
	}
	return float64(took.Nanoseconds()) / float64(moved), nil
}

// measureLatency commits one message after another, each once the last has left.
func measureLatency(ctx context.Context, w io.Writer, s *server, e effort) (err error) {
	dsn, err := s.database(ctx)
	if err != nil {
		return err
	}
	db, box, err := openKit(ctx, dsn, 4)
	if err != nil {
		return err
	}
	defer db.Close()
	arrived := make(chan time.Time, 1)
	stop := startRelay(box, publisherFunc(func(context.Context, string, ...*pubsub.Message) error {
		arrived <- time.Now()
		return nil
	}), outbox.RelayOptions{})
	defer func() { err = errors.Join(err, stop()) }()
	var all []float64
	var mu sync.Mutex
	var committed time.Time
	for range e.commits {
		err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			// The first of the hooks, so that the clock starts before the relay is woken.
			sqlx.AfterCommit(ctx, func() {
				mu.Lock()
				defer mu.Unlock()
				committed = time.Now()
			})
			return box.In(tx).Publish(ctx, topic, &pubsub.Message{Key: "o-4711", Data: payload})
		}, nil)
		if err != nil {
			return err
		}
		select {
		case at := <-arrived:
			mu.Lock()
			all = append(all, float64(at.Sub(committed).Microseconds())/1000)
			mu.Unlock()
		case <-time.After(patience):
			return fmt.Errorf("no message within %v", patience)
		}
		// Another commit while the relay is about to give its leases back is found at the next poll; a service's are as
		// likely to come then. Here each is to find it at rest.
		time.Sleep(20 * time.Millisecond)
	}
	slices.Sort(all)
	fmt.Fprintf(w, "\nlatency from commit to publisher, ms: p50 %.2f, p90 %.2f, p99 %.2f, of %d\n\n",
		all[len(all)/2], all[len(all)*9/10], all[len(all)*99/100], len(all))
	return bench.ReportMost(w, "ms from commit to publisher, p50", 5, all[len(all)/2])
}

type publisherFunc func(ctx context.Context, topic string, ms ...*pubsub.Message) error

func (f publisherFunc) Publish(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	return f(ctx, topic, ms...)
}
