package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
)

// TestInboxCrash kills a process with -9 while it handles messages, singly and in a batch, and has another one handle
// them. Each has one effect.
func TestInboxCrash(t *testing.T) {
	if dsn := os.Getenv(crashVariable); dsn != "" {
		inboxCrashing(t, dsn, os.Getenv(crashPointVariable))
		return
	}
	for _, point := range []string{
		"single/before the effect", "single/after the effect", "single/after the commit", "single/after it all",
		"batch/before the effects", "batch/after the effects", "batch/after the commit", "batch/after it all",
	} {
		t.Run(point, func(t *testing.T) {
			eachDSN(t, func(t *testing.T, d sqlx.Dialect, dsn string) {
				b := newInboxBench(t, inboxReplica(t, d, dsn), d, inbox.Options{})
				killAt(t, "TestInboxCrash", dsn, point)
				done := 0
				if strings.Contains(point, "commit") || strings.Contains(point, "it all") {
					done = 10
					if strings.HasPrefix(point, "single/after the commit") {
						done = 1
					}
				}
				b.wantRows(done, done)
				if err := b.crashHandle(point, ""); err != nil {
					t.Error(err)
				}
				b.wantRows(10, 10)
				if got := b.duplicates(); got != done {
					t.Errorf("duplicates = %d, want %d", got, done)
				}
			})
		})
	}
}

// crashHandle handles ten messages in the form that form begins with, and stops for ever at point.
func (b *inboxBench) crashHandle(form, point string) error {
	if strings.HasPrefix(form, "single") {
		h := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
			sqlx.AfterCommit(ctx, func() { stopAt("single/after the commit", point) })
			stopAt("single/before the effect", point)
			err := effect(ctx, tx, "billing", m.ID)
			stopAt("single/after the effect", point)
			return err
		})
		var err error
		for _, m := range tenMessages() {
			err = errors.Join(err, h(b.Context(), m))
		}
		return err
	}
	return b.in.BatchHandler("billing", func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error {
		sqlx.AfterCommit(ctx, func() { stopAt("batch/after the commit", point) })
		stopAt("batch/before the effects", point)
		err := effectsOneByOne(ctx, tx, ms)
		stopAt("batch/after the effects", point)
		return err
	})(b.Context(), tenMessages())
}

// inboxCrashing is what the child runs.
func inboxCrashing(t *testing.T, dsn, point string) {
	d := sqlx.SQLite
	if strings.HasPrefix(dsn, "postgres") {
		d = sqlx.Postgres
	}
	b := &inboxBench{T: t, in: quietInbox(inboxReplica(t, d, dsn), d)}
	if err := b.crashHandle(point, point); err != nil {
		t.Error(err)
	}
	form, _, _ := strings.Cut(point, "/")
	stopAt(form+"/after it all", point)
	t.Fatal("the child has gone past its end")
}
