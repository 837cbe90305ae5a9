package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// BenchmarkInbox measures one message after another: new ones, each with one row of its handler's, beside the same
// row in a transaction without an inbox; and copies of one. Then, by turns, the inbox beside one by hand, singly and in
// batches of 100 whose handler writes its rows by one statement; and batches of 100 with one row after another beside
// single messages.
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
	set, loop := in.BatchHandler("billing", effectsOf(d)), in.BatchHandler("billing", effectsOneByOne)
	b.Run("BesideByHand", func(b *testing.B) {
		beside(b, 1, func() error { return h(b.Context(), next()) },
			func() error { return inboxByHand(b.Context(), db, next()) })
	})
	hundred := func() []*pubsub.Message {
		ms := make([]*pubsub.Message, 100)
		for i := range ms {
			ms[i] = next()
		}
		return ms
	}
	b.Run("BatchBesideByHand", func(b *testing.B) {
		beside(b, 100, func() error { return set(b.Context(), hundred()) },
			func() error { return batchByHand(b.Context(), db, d, hundred()) })
	})
	b.Run("BatchOfSinglesBesideSingles", func(b *testing.B) {
		beside(b, 100, func() error { return loop(b.Context(), hundred()) }, func() (err error) {
			for _, m := range hundred() {
				err = errors.Join(err, h(b.Context(), m))
			}
			return err
		})
	})
}

// beside runs the kit's and the other by turns, each of which handles n messages, and reports how fast the kit's is in
// the other's terms, by the medians: what disturbs one of them disturbs both.
func beside(b *testing.B, n int, kit, other func() error) {
	var times [2][]float64
	for b.Loop() {
		for i, f := range []func() error{kit, other} {
			began := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			times[i] = append(times[i], time.Since(began).Seconds())
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	k, o := times[0][len(times[0])/2], times[1][len(times[1])/2]
	b.ReportMetric(float64(n)/k, "msgs/s")
	b.ReportMetric(float64(n)/o, "msgs/s-other")
	b.ReportMetric(o/k, "ratio")
}

// effectsOneByOne is a handler that writes one effect a message.
func effectsOneByOne(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error {
	for _, m := range ms {
		if err := effect(ctx, tx, "billing", m.ID); err != nil {
			return err
		}
	}
	return nil
}

// inboxByHand is what somebody writes who has no inbox: the record and the effect in one transaction.
func inboxByHand(ctx context.Context, db *sql.DB, m *pubsub.Message) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	r, err := tx.ExecContext(ctx, `INSERT INTO mainstay_inbox (subscription, topic, message_id, handled_ms)
		VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, "billing", m.Topic, m.ID, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return err
	}
	if err := effect(ctx, tx, "billing", m.ID); err != nil {
		return err
	}
	return tx.Commit()
}

// batchByHand is the same for several, by one statement each.
func batchByHand(ctx context.Context, db *sql.DB, d sqlx.Dialect, ms []*pubsub.Message) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	from := `unnest(CAST($4 AS TEXT[])) AS value`
	if d == sqlx.SQLite {
		from = `json_each($4) WHERE true`
	}
	rows, err := tx.QueryContext(ctx, `INSERT INTO mainstay_inbox (subscription, topic, message_id, handled_ms)
		SELECT $1, $2, value, $3 FROM `+from+` ON CONFLICT DO NOTHING RETURNING message_id`,
		"billing", ms[0].Topic, time.Now().UnixMilli(), listOf(d, ms))
	if err != nil {
		return err
	}
	defer rows.Close()
	fresh := make(map[string]bool, len(ms))
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		fresh[id] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var left []*pubsub.Message
	for _, m := range ms {
		if fresh[m.ID] {
			left = append(left, m)
		}
	}
	if err := effectsOf(d)(ctx, tx, left); err != nil {
		return err
	}
	return tx.Commit()
}

// effectsOf is a handler that writes its effects by one statement.
func effectsOf(d sqlx.Dialect) func(context.Context, *sql.Tx, []*pubsub.Message) error {
	from := `unnest(CAST($1 AS TEXT[])) AS value`
	if d == sqlx.SQLite {
		from = `json_each($1)`
	}
	return func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO effects SELECT 'billing', value FROM `+from, listOf(d, ms))
		return err
	}
}

// listOf is the IDs of ms, which need no escapes, as one parameter.
func listOf(d sqlx.Dialect, ms []*pubsub.Message) string {
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.ID
	}
	if d == sqlx.SQLite {
		return `["` + strings.Join(ids, `","`) + `"]`
	}
	return `{"` + strings.Join(ids, `","`) + `"}`
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
