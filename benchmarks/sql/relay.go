package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

// patience bounds one measurement.
const patience = 5 * time.Minute

// handBatch is how many rows are taken at a time by hand.
const handBatch = 500

// mover is one way to empty a table of stored messages.
type mover struct {
	name string
	// open prepares the tables.
	open func(ctx context.Context, dsn string) (m move, stop func(), err error)
}

// move stores n messages, empties the table, and returns how long the latter took.
type move func(ctx context.Context, n int) (time.Duration, error)

// fill stores n messages with n/10 keys, as the outbox does. The hash is not the kit's: a key need only be in one
// shard.
const fill = `INSERT INTO mainstay_outbox (shard, topic, message_id, message_key, envelope, data)
	SELECT abs(hashtext('k-' || i % greatest($1 / 10, 1))) % 32, 'order.created', gen_random_uuid(),
		'k-' || i % greatest($1 / 10, 1),
		'{"type":"order.created","time":"2026-11-25T10:30:00.123456789Z","correlation_id":"0b54e9bc-6f3e-4a3e"}', $2
	FROM generate_series(1, CAST($1 AS INT)) AS i`

// counter is a publisher that does nothing but count.
type counter struct {
	seen, want  atomic.Int64
	first, last time.Time // the calls of the first and the last batch of a measurement; of the relay's goroutine
	head        int       // messages of the first batch
	done        chan struct{}
}

func (c *counter) Publish(_ context.Context, _ string, ms ...*pubsub.Message) error {
	now := time.Now()
	if c.seen.Load() == 0 {
		c.first, c.head = now, len(ms)
	}
	if c.seen.Add(int64(len(ms))) == c.want.Load() {
		c.last = now
		c.done <- struct{}{}
	}
	return nil
}

func (c *counter) expect(n int) {
	c.seen.Store(0)
	c.want.Store(int64(n))
}

func (c *counter) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d messages: %w", c.seen.Load(), c.want.Load(), ctx.Err())
	}
}

// startRelay runs a relay and returns how to end it.
func startRelay(box *outbox.Outbox, p pubsub.Publisher, o outbox.RelayOptions) (stop func() error) {
	o.Registerer, o.Logger = prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r := box.Relay(p, &o)
	go func() { ended <- r.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// kitMover is the relay with batches of so many, zero for its default.
func kitMover(batch int) mover {
	name := "mainstay"
	if batch > 0 {
		name = fmt.Sprintf("mainstay, batches of %d", batch)
	}
	return mover{name, func(ctx context.Context, dsn string) (move, func(), error) {
		db, box, err := openKit(ctx, dsn, 4)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, n int) (time.Duration, error) {
			if _, err := db.ExecContext(ctx, fill, n, payload); err != nil {
				return 0, err
			}
			c := &counter{done: make(chan struct{}, 1)}
			c.expect(n)
			start := time.Now()
			stop := startRelay(box, c, outbox.RelayOptions{BatchSize: batch})
			err := c.wait(ctx)
			if e := stop(); err == nil {
				err = e // the last batch is deleted by then
			}
			return time.Since(start), err
		}, func() { db.Close() }, nil
	}}
}

func handMover() mover {
	return mover{"take and delete", func(ctx context.Context, dsn string) (move, func(), error) {
		db, err := plain(ctx, dsn, 4, outboxTable)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, n int) (time.Duration, error) {
			_, err := db.ExecContext(ctx, `INSERT INTO outbox (message_id, topic, key, headers, data)
				SELECT gen_random_uuid(), 'order.created', 'k-' || i % greatest($1 / 10, 1),
					'{"type":"order.created","time":"2026-11-25T10:30:00.123456789Z","correlation_id":"0b54e9bc-6f3e-4a3e"}', $2
				FROM generate_series(1, CAST($1 AS INT)) AS i`, n, payload)
			if err != nil {
				return 0, err
			}
			start := time.Now()
			for took := handBatch; took == handBatch; {
				if took, err = takeByHand(ctx, db); err != nil {
					return 0, err
				}
			}
			return time.Since(start), nil
		}, func() { db.Close() }, nil
	}}
}

func takeByHand(ctx context.Context, db *sql.DB) (n int, err error) {
	rows, err := db.QueryContext(ctx, `DELETE FROM outbox WHERE id IN (
			SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
		) RETURNING id, message_id, topic, key, headers, data`, handBatch)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var message, topic, key, headers string
		var data []byte
		if err := rows.Scan(&id, &message, &topic, &key, &headers, &data); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}

func watermillMover() mover {
	return mover{"watermill-sql", func(ctx context.Context, dsn string) (move, func(), error) {
		db, err := plain(ctx, dsn, 4)
		if err != nil {
			return nil, nil, err
		}
		if err := initWatermill(db); err != nil {
			return nil, nil, err
		}
		if _, err := db.ExecContext(ctx, `TRUNCATE watermill_order_created`); err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, n int) (time.Duration, error) {
			_, err := db.ExecContext(ctx, `INSERT INTO watermill_order_created (uuid, payload, metadata)
				SELECT gen_random_uuid(), $2, '{"type":"order.created"}' FROM generate_series(1, CAST($1 AS INT))`, n, payload)
			if err != nil {
				return 0, err
			}
			sub, err := wsql.NewSubscriber(wsql.BeginnerFromStdSQL(db), wsql.SubscriberConfig{
				SchemaAdapter: queueSchema, OffsetsAdapter: wsql.PostgreSQLQueueOffsetsAdapter{DeleteOnAck: true},
			}, watermill.NopLogger{})
			if err != nil {
				return 0, err
			}
			start := time.Now()
			messages, err := sub.Subscribe(ctx, watermillTopic)
			if err != nil {
				return 0, err
			}
			for range n {
				select {
				case m := <-messages:
					m.Ack()
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			}
			took := time.Since(start)
			return took, sub.Close()
		}, func() { db.Close() }, nil
	}}
}

// orderWorker does nothing but count.
type orderWorker struct {
	river.WorkerDefaults[orderArgs]

	left *atomic.Int64
	done func()
}

// Work counts the job.
func (w *orderWorker) Work(context.Context, *river.Job[orderArgs]) error {
	if w.left.Add(-1) == 0 {
		w.done()
	}
	return nil
}

func riverMover() mover {
	return mover{"river", func(ctx context.Context, dsn string) (move, func(), error) {
		pool, err := openRiver(ctx, dsn, 8)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, n int) (time.Duration, error) {
			var left atomic.Int64
			left.Store(int64(n))
			done := make(chan struct{})
			workers := river.NewWorkers()
			river.AddWorker(workers, &orderWorker{left: &left, done: sync.OnceFunc(func() { close(done) })})
			client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
				Logger: slog.New(slog.DiscardHandler), Workers: workers, FetchCooldown: river.FetchCooldownMin,
				Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 500}},
			})
			if err != nil {
				return 0, err
			}
			for at := 0; at < n; {
				jobs := make([]river.InsertManyParams, min(1000, n-at))
				for i := range jobs {
					jobs[i].Args = orderArgs{"o-4711", "c-42", 1999}
				}
				if _, err := client.InsertManyFast(ctx, jobs); err != nil {
					return 0, err
				}
				at += len(jobs)
			}
			start := time.Now()
			if err := client.Start(ctx); err != nil {
				return 0, err
			}
			select {
			case <-done:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			took := time.Since(start)
			return took, client.Stop(ctx)
		}, pool.Close, nil
	}}
}

func measureRelays(ctx context.Context, w io.Writer, s *server, e effort) error {
	for _, c := range []struct {
		kit, peer mover
		n         int
		want      float64
	}{
		// The peer's batches are of 500: so are the kit's where there is a target. Its default is a figure beside it.
		{kitMover(handBatch), handMover(), e.relayed, 1 / 0.6},
		{kitMover(0), handMover(), e.relayed, 0},
		{kitMover(0), kitMover(handBatch), e.relayed, 0},
		{kitMover(0), watermillMover(), e.relayed / 5, 0},
		{kitMover(0), riverMover(), e.relayed / 5, 0},
	} {
		pairs, err := contestMovers(ctx, s, e.pairs, c.n, c.kit, c.peer)
		if err != nil {
			return fmt.Errorf("%s: %w", c.peer.name, err)
		}
		row := bench.NewRow(fmt.Sprintf("a message of %d", c.n), "ns", c.want, pairs, func(ns float64) float64 { return ns })
		fmt.Fprintf(w, "\nrelay: %s, beside %s\n\n", c.kit.name, c.peer.name)
		if err := bench.Report(w, c.kit.name, c.peer.name, row); err != nil {
			return err
		}
	}
	return nil
}

func contestMovers(ctx context.Context, s *server, n, size int, ours, peer mover) ([]bench.Pair[float64], error) {
	var measures []func() (float64, error)
	for _, side := range []mover{ours, peer} {
		dsn, err := s.database(ctx)
		if err != nil {
			return nil, err
		}
		move, stop, err := side.open(ctx, dsn)
		if err != nil {
			return nil, err
		}
		defer stop()
		measures = append(measures, func() (float64, error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			took, err := move(ctx, size)
			return float64(took.Nanoseconds()) / float64(size), err
		})
	}
	return bench.Interleave(n, measures[0], measures[1])
}
