package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func inboxSQL(t *testing.T, d sqlx.Dialect) string {
	return plainSQL(t, "inbox", d, "0001_create_inbox.sql")
}

func quietInbox(db *sql.DB, d sqlx.Dialect) *inbox.Inbox {
	return inbox.New(db, d, &inbox.Options{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
}

func TestInboxTable(t *testing.T) {
	t.Run("VerifyTellsWhatIsMissing", inboxVerifyTells)
	t.Run("Partitioned", inboxPartitioned)
	t.Run("TheCleanerGoesOn", func(t *testing.T) { eachInbox(t, inboxCleaner) })
}

func inboxVerifyTells(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		in, text := quietInbox(db, d), inboxSQL(t, d)
		withoutKey := strings.Replace(text, "PRIMARY KEY (subscription, topic, message_id)", "CHECK (true)", 1)
		for _, tt := range []struct{ name, sql, want string }{
			{"no table", `SELECT 1`, "mainstay_inbox"},
			{"no column", strings.ReplaceAll(text, "handled_ms", "at"), "handled_ms"},
			{"no unique key", strings.ReplaceAll(withoutKey, "WITHOUT ROWID", ""), "ON CONFLICT"},
		} {
			mustExec(t, db, tt.sql)
			if err := in.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify with %s = %v, want an error with %s", tt.name, err, tt.want)
			}
			mustExec(t, db, `DROP TABLE IF EXISTS mainstay_inbox`)
		}
		mustExec(t, db, text)
		if err := in.Verify(t.Context()); err != nil {
			t.Errorf("Verify of the plain SQL = %v, want nil", err)
		}
	})
}

func inboxPartitioned(t *testing.T) {
	db := sqlxtest.Postgres(t)
	mustExec(t, db, strings.Replace(inboxSQL(t, sqlx.Postgres), "\n);", "\n) PARTITION BY HASH (message_id);", 1))
	for i := range 3 {
		mustExec(t, db, fmt.Sprintf(`CREATE TABLE part%d PARTITION OF mainstay_inbox
			FOR VALUES WITH (MODULUS 3, REMAINDER %[1]d)`, i))
	}
	mustExec(t, db, `CREATE TABLE effects (who TEXT NOT NULL, what TEXT NOT NULL)`)
	b := &inboxBench{T: t, db: db, in: quietInbox(db, sqlx.Postgres)}
	r := &runsOf{}
	for range 2 {
		err := errors.Join(b.in.Verify(t.Context()), b.in.BatchHandler("billing", r.handle)(t.Context(), tenMessages()),
			b.in.Handler("billing", effectOf("billing"))(t.Context(), messageOf("orders", "m-10")))
		if err != nil {
			t.Error(err)
		}
	}
	b.wantRows(11, 11)
	b.age("orders", time.Hour)
	b.prune(t.Context(), time.Minute, 11)
}

func inboxCleaner(b *inboxBench) {
	mustExec(b, b.db, `ALTER TABLE mainstay_inbox RENAME TO elsewhere`)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	c := b.in.Cleaner(time.Hour, 10*time.Millisecond)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	eventually(b.T, func() bool { return strings.Contains(b.logs.String(), "clean-up failed") })
	mustExec(b, b.db, `ALTER TABLE elsewhere RENAME TO mainstay_inbox`)
	b.fill("old", 5)
	b.fill("new", 3)
	b.age("old", 2*time.Hour)
	eventually(b.T, func() bool { return b.count("mainstay_inbox") == 3 })
	cancel()
	if err := <-done; err != nil || c.String() != "inbox cleaner" {
		b.Errorf("Run of %v = %v, want nil", c, err)
	}
	for _, bad := range []*inbox.Cleaner{b.in.Cleaner(0, time.Hour), b.in.Cleaner(time.Hour, -1)} {
		if err := bad.Run(b.Context()); err == nil {
			b.Error("Run of a cleaner without an age, or with a negative interval = nil, want an error")
		}
	}
}
