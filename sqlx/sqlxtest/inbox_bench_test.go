package sqlxtest_test

import (
	"context"
	"database/sql"
	"log/slog"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// BenchmarkInbox measures one message after another: new ones, each with one row of its handler's, beside the same
// row in a transaction without an inbox; and copies of one.
func BenchmarkInbox(b *testing.B) {
	for _, d := range []sqlx.Dialect{sqlx.SQLite, sqlx.Postgres} {
		b.Run(d.String(), func(b *testing.B) {
			db := sqlxtest.SQLite
			if d == sqlx.Postgres {
				db = sqlxtest.Postgres
			}
			benchmarkInbox(b, db(b), d)
		})
	}
}

func benchmarkInbox(b *testing.B, db *sql.DB, d sqlx.Dialect) {
	in := inbox.New(db, d, &inbox.Options{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err := in.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := db.ExecContext(b.Context(), `CREATE TABLE effects (who TEXT NOT NULL, what TEXT NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	h := in.Handler("billing", effectOf("billing"))
	n := 0
	next := func() *pubsub.Message {
		n++
		return messageOf("orders", "019947a3-7b5e-7e43-a3f3-"+strconv.Itoa(n+1e11))
	}
	b.Run("WithoutInbox", func(b *testing.B) {
		inboxEach(b, func() error {
			m := next()
			return sqlx.InTx(b.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				return effect(ctx, tx, "billing", m.ID)
			}, nil)
		})
	})
	b.Run("First", func(b *testing.B) {
		inboxEach(b, func() error { return h(b.Context(), next()) })
	})
	b.Run("Duplicate", func(b *testing.B) {
		m := next()
		inboxEach(b, func() error { return h(b.Context(), m) })
	})
}

func inboxEach(b *testing.B, f func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
