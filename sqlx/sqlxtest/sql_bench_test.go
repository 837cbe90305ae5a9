package sqlxtest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func benchmarkEach(b *testing.B, f func(b *testing.B, db *sql.DB, d sqlx.Dialect)) {
	b.Run("SQLite", func(b *testing.B) { f(b, sqlxtest.SQLite(b), sqlx.SQLite) })
	b.Run("Postgres", func(b *testing.B) { f(b, sqlxtest.Postgres(b), sqlx.Postgres) })
}

// BenchmarkObserved: what measuring adds to the cheapest query there is, outside a trace.
func BenchmarkObserved(b *testing.B) {
	for _, d := range []sqlx.Dialect{sqlx.SQLite, sqlx.Postgres} {
		plain, err := sql.Open(map[sqlx.Dialect]string{sqlx.SQLite: "sqlite", sqlx.Postgres: "pgx"}[d], sqlxtest.DSN(b, d))
		if err != nil {
			b.Fatal(err)
		}
		defer plain.Close()
		observed, err := sqlx.Open(b.Context(), d, sqlxtest.DSN(b, d), &sqlx.Options{Registerer: prometheus.NewRegistry()})
		if err != nil {
			b.Fatal(err)
		}
		defer observed.Close()
		for name, db := range map[string]*sql.DB{"plain": plain, "observed": observed} {
			b.Run(d.String()+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var one int
					if err := db.QueryRowContext(b.Context(), `SELECT 1`).Scan(&one); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkInTx: an empty transaction by hand, and by InTx.
func BenchmarkInTx(b *testing.B) {
	benchmarkEach(b, func(b *testing.B, db *sql.DB, d sqlx.Dialect) {
		b.Run("ByHand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tx, err := db.BeginTx(b.Context(), nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("InTx", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := sqlx.InTx(b.Context(), db, func(context.Context, *sql.Tx) error { return nil }, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkOutboxPublish: a business row alone, with an outbox row by hand, and with one by the kit.
func BenchmarkOutboxPublish(b *testing.B) {
	benchmarkEach(b, func(b *testing.B, db *sql.DB, d sqlx.Dialect) {
		box := outbox.New(db, d, nil)
		if err := box.Migrate(b.Context()); err != nil {
			b.Fatal(err)
		}
		mustExec(b, db, `CREATE TABLE work (what TEXT NOT NULL)`)
		data := []byte(`{"id":"42","customer":"ann","total":1999}`)
		for _, tt := range []struct {
			name    string
			publish func(ctx context.Context, tx *sql.Tx) error
		}{
			{"BusinessRowAlone", func(context.Context, *sql.Tx) error { return nil }},
			{"ByHand", func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO mainstay_outbox (shard, topic, message_id, message_key, envelope, data)
					VALUES ($1, $2, $3, $4, $5, $6)`, 1, "orders", "m-1", "42", "{}", data)
				return err
			}},
			{"Outbox", func(ctx context.Context, tx *sql.Tx) error {
				return box.In(tx).Publish(ctx, "orders", &pubsub.Message{Key: "42", Data: data})
			}},
		} {
			b.Run(tt.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					err := sqlx.InTx(b.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
						if _, err := tx.ExecContext(ctx, `INSERT INTO work VALUES ($1)`, "reserve 42"); err != nil {
							return err
						}
						return tt.publish(ctx, tx)
					}, nil)
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// BenchmarkRelay moves rows to a publisher that does nothing; one operation is one row.
func BenchmarkRelay(b *testing.B) {
	benchmarkEach(b, func(b *testing.B, db *sql.DB, d sqlx.Dialect) {
		box := outbox.New(db, d, nil)
		if err := box.Migrate(b.Context()); err != nil {
			b.Fatal(err)
		}
		mustExec(b, db, fmt.Sprintf(`INSERT INTO mainstay_outbox (shard, topic, message_id, message_key, envelope, data)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			SELECT i %% 32, 'orders', 'm-' || i, 'k-' || i, '{"type":"orders","time":"2026-11-25T10:30:00Z","correlation_id":"c"}',
				CAST('{"id":"42","customer":"ann","total":1999}' AS %s) FROM n`, b.N, blob(d)))
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		n := 0
		b.ReportAllocs()
		b.ResetTimer() // not b.Loop: the rows are there before the clock starts
		err := box.Relay(publisherFunc(func(_ context.Context, _ string, ms ...*pubsub.Message) error {
			if n += len(ms); n == b.N {
				cancel()
			}
			return nil
		}), &outbox.RelayOptions{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}).Run(ctx)
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		if got := number(b, db, `SELECT count(*) FROM mainstay_outbox`); got != 0 {
			b.Errorf("%d rows are left, want 0", got)
		}
	})
}

func blob(d sqlx.Dialect) string {
	if d == sqlx.SQLite {
		return "BLOB"
	}
	return "BYTEA"
}

type publisherFunc func(ctx context.Context, topic string, ms ...*pubsub.Message) error

func (f publisherFunc) Publish(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	return f(ctx, topic, ms...)
}
