package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

const topic = "order.created"

// payload is the event of an order, as JSON.
var payload = []byte(`{"id":"o-4711","customer":"c-42","total":1999,"currency":"EUR","lines":[{"sku":"a-1","n":2}]}`)

const (
	orders      = `CREATE TABLE orders (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what TEXT NOT NULL)`
	insertOrder = `INSERT INTO orders (what) VALUES ($1)`
	outboxTable = `CREATE TABLE outbox (
		id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id TEXT NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL,
		headers TEXT NOT NULL, data BYTEA NOT NULL, created_at TIMESTAMPTZ NOT NULL DEFAULT now())`
)

// writer is one way to write an order and its message.
type writer struct {
	name string
	open func(ctx context.Context, dsn string, conns int) (w write, stop func(), err error)
}

// write is one transaction.
type write func(context.Context) error

// plain opens a pool of the driver, without the kit.
func plain(ctx context.Context, dsn string, conns int, tables ...string) (*sql.DB, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	for _, t := range tables {
		if _, err := db.ExecContext(ctx, t); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// openKit opens a pool of the kit's, with an outbox.
func openKit(ctx context.Context, dsn string, conns int) (*sql.DB, *outbox.Outbox, error) {
	db, err := sqlx.Open(ctx, sqlx.Postgres, dsn, &sqlx.Options{MaxOpen: conns, Registerer: prometheus.NewRegistry()})
	if err != nil {
		return nil, nil, err
	}
	box := outbox.New(db, sqlx.Postgres, &outbox.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := box.Migrate(ctx); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, box, nil
}

func kitWriter() writer {
	return writer{"mainstay", func(ctx context.Context, dsn string, conns int) (write, func(), error) {
		db, box, err := openKit(ctx, dsn, conns)
		if err != nil {
			return nil, nil, err
		}
		if _, err := db.ExecContext(ctx, orders); err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) error {
			return sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
				if _, err := tx.ExecContext(ctx, insertOrder, "order"); err != nil {
					return err
				}
				return box.In(tx).Publish(ctx, topic, &pubsub.Message{Key: "o-4711", Data: payload})
			}, nil)
		}, func() { db.Close() }, nil
	}}
}

// inPlainTx writes an order and what more does, by hand.
func inPlainTx(ctx context.Context, db *sql.DB, more func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insertOrder, "order"); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := more(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func aloneWriter() writer {
	return writer{"alone", func(ctx context.Context, dsn string, conns int) (write, func(), error) {
		db, err := plain(ctx, dsn, conns, orders)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) error {
			return inPlainTx(ctx, db, func(*sql.Tx) error { return nil })
		}, func() { db.Close() }, nil
	}}
}

func handWriter() writer {
	return writer{"by hand", func(ctx context.Context, dsn string, conns int) (write, func(), error) {
		db, err := plain(ctx, dsn, conns, orders, outboxTable)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) error {
			return inPlainTx(ctx, db, func(tx *sql.Tx) error {
				headers, err := json.Marshal(map[string]string{
					"type": topic, "time": time.Now().Format(time.RFC3339Nano), "correlation_id": watermill.NewUUID(),
				})
				if err != nil {
					return err
				}
				_, err = tx.ExecContext(ctx, `INSERT INTO outbox (message_id, topic, key, headers, data)
					VALUES ($1, $2, $3, $4, $5)`, watermill.NewUUID(), topic, "o-4711", string(headers), payload)
				return err
			})
		}, func() { db.Close() }, nil
	}}
}

func watermillWriter() writer {
	return writer{"watermill-sql", func(ctx context.Context, dsn string, conns int) (write, func(), error) {
		db, err := plain(ctx, dsn, conns, orders)
		if err != nil {
			return nil, nil, err
		}
		if err := initWatermill(db); err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) error {
			return inPlainTx(ctx, db, func(tx *sql.Tx) error {
				p, err := wsql.NewPublisher(wsql.TxFromStdSQL(tx), wsql.PublisherConfig{SchemaAdapter: queueSchema},
					watermill.NopLogger{})
				if err != nil {
					return err
				}
				return p.Publish(watermillTopic, message.NewMessage(watermill.NewUUID(), payload))
			})
		}, func() { db.Close() }, nil
	}}
}

// watermillTopic is a name that may be part of a table's.
const watermillTopic = "order_created"

var queueSchema = wsql.PostgreSQLQueueSchema{
	SubscribeBatchSize: 500, GeneratePayloadType: func(string) string { return "BYTEA" },
}

func initWatermill(db *sql.DB) error {
	p, err := wsql.NewPublisher(wsql.BeginnerFromStdSQL(db), wsql.PublisherConfig{
		SchemaAdapter: queueSchema, AutoInitializeSchema: true,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	return p.Publish(watermillTopic, message.NewMessage(watermill.NewUUID(), payload))
}

// orderArgs is the job of an order.
type orderArgs struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Total    int    `json:"total"`
}

// Kind names the job.
func (orderArgs) Kind() string { return "order_created" }

func openRiver(ctx context.Context, dsn string, conns int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(conns) //nolint:gosec // a few
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return nil, err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	return pool, nil
}

func riverWriter() writer {
	return writer{"river", func(ctx context.Context, dsn string, conns int) (write, func(), error) {
		pool, err := openRiver(ctx, dsn, conns)
		if err != nil {
			return nil, nil, err
		}
		if _, err := pool.Exec(ctx, orders); err != nil {
			return nil, nil, err
		}
		client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, insertOrder, "order"); err != nil {
					return err
				}
				_, err := client.InsertTx(ctx, tx, orderArgs{"o-4711", "c-42", 1999}, nil)
				return err
			})
		}, pool.Close, nil
	}}
}

func measureWrites(ctx context.Context, w io.Writer, s *server, e effort) error {
	for _, c := range []struct {
		peer  writer
		conns int
		want  float64
	}{
		{handWriter(), 1, 1 / 0.95}, {handWriter(), 8, 1 / 0.95}, {aloneWriter(), 1, 0}, {aloneWriter(), 8, 0},
		{watermillWriter(), 1, 0}, {watermillWriter(), 8, 0}, {riverWriter(), 1, 0}, {riverWriter(), 8, 0},
	} {
		row, err := contestWrites(ctx, s, e, kitWriter(), c.peer, c.conns)
		if err != nil {
			return fmt.Errorf("%s: %w", c.peer.name, err)
		}
		row.Want = c.want
		fmt.Fprintf(w, "\nwrite, beside %s\n\n", c.peer.name)
		if err := bench.Report(w, "mainstay", c.peer.name, row); err != nil {
			return err
		}
	}
	return nil
}

func contestWrites(ctx context.Context, s *server, e effort, ours, peer writer, conns int) (bench.Row, error) {
	name := fmt.Sprintf("a transaction, %d connections", conns)
	var measures []func() (float64, error)
	for _, side := range []writer{ours, peer} {
		dsn, err := s.database(ctx)
		if err != nil {
			return bench.Row{}, err
		}
		write, stop, err := side.open(ctx, dsn, conns)
		if err != nil {
			return bench.Row{}, err
		}
		defer stop()
		if _, err := atOnce(ctx, conns, e.writes/10, write); err != nil { // statements are prepared by then
			return bench.Row{}, err
		}
		measures = append(measures, func() (float64, error) { return atOnce(ctx, conns, e.writes, write) })
	}
	pairs, err := bench.Interleave(e.pairs, measures[0], measures[1])
	if err != nil {
		return bench.Row{}, err
	}
	return bench.NewRow(name, "ns", 0, pairs, func(ns float64) float64 { return ns }), nil
}

// atOnce calls write n times from so many goroutines and returns the nanoseconds that one took of the time of all.
func atOnce(ctx context.Context, goroutines, n int, write func(context.Context) error) (float64, error) {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range goroutines {
		wg.Go(func() {
			for errs[i] == nil && left.Add(-1) >= 0 {
				errs[i] = write(ctx)
			}
		})
	}
	wg.Wait()
	return float64(time.Since(start).Nanoseconds()) / float64(n), errors.Join(errs...)
}
