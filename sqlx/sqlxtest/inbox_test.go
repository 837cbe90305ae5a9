package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// inboxBench is an inbox, the business table "effects" beside it, and what the inbox counts and logs.
type inboxBench struct {
	*testing.T
	db   *sql.DB
	in   *inbox.Inbox
	reg  *prometheus.Registry
	logs *warnings
}

func newInboxBench(t *testing.T, db *sql.DB, d sqlx.Dialect, o inbox.Options) *inboxBench {
	t.Helper()
	b := &inboxBench{T: t, db: db, reg: prometheus.NewRegistry(), logs: newWarnings()}
	o.Registerer = b.reg
	o.Logger = slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.in = inbox.New(db, d, &o)
	if err := b.in.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// No key: it is not this table that keeps effects apart.
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE effects (who TEXT NOT NULL, what TEXT NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	return b
}

// eachInbox runs f as one subtest a dialect.
func eachInbox(t *testing.T, f func(b *inboxBench)) {
	t.Helper()
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) { f(newInboxBench(t, db, d, inbox.Options{})) })
}

// effect is a handler's business write.
func effect(ctx context.Context, tx *sql.Tx, who, what string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO effects VALUES ($1, $2)`, who, what)
	return err
}

// effectOf is a handler that writes one effect.
func effectOf(who string) func(context.Context, *sql.Tx, *pubsub.Message) error {
	return func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error { return effect(ctx, tx, who, m.ID) }
}

func (b *inboxBench) count(table string) int {
	b.Helper()
	var n int
	if err := b.db.QueryRowContext(context.Background(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

// wantRows compares the business rows and the inbox's.
func (b *inboxBench) wantRows(effects, marks int) {
	b.Helper()
	if e, m := b.count("effects"), b.count("mainstay_inbox"); e != effects || m != marks {
		b.Errorf("%d effects and %d marks, want %d and %d", e, m, effects, marks)
	}
}

// duplicates returns what the counter shows, summed over its labels.
func (b *inboxBench) duplicates() int {
	b.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "mainstay_inbox_duplicates_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return int(sum)
}

func messageOf(topic, id string) *pubsub.Message { return &pubsub.Message{ID: id, Topic: topic} }

func TestInbox(t *testing.T) {
	t.Run("AFailedHandlerLeavesNoMark", func(t *testing.T) { eachInbox(t, failureLeavesNoMark) })
	t.Run("ADuplicateIsAcknowledgedCountedAndNotHandled", func(t *testing.T) { eachInbox(t, duplicateDropped) })
	t.Run("SubscriptionsDoNotMeet", func(t *testing.T) { eachInbox(t, subscriptionsDoNotMeet) })
	t.Run("AMessageWithoutAnIDIsRefused", func(t *testing.T) { eachInbox(t, emptyIDRefused) })
	t.Run("NamesThatAreNotUTF8AreCountedAll", foreignNames)
	t.Run("ASecondCopyWaitsForTheFirst", secondCopyWaits)
	t.Run("ManyCopiesAtOnceHaveOneEffect", manyCopies)
	t.Run("TheContextEndsMidway", func(t *testing.T) { eachInbox(t, contextEndsMidway) })
	t.Run("AHandlerThatEndsTheTransactionIsNoSuccess", func(t *testing.T) { eachInbox(t, handlerRollsBack) })
	t.Run("AnErrorThatTheHandlerSwallowedIsNoSuccess", swallowedError)
	t.Run("ACommitOfUnknownOutcomeIsTriedAgain", inboxCommitUnknown)
	t.Run("AConflictRunsTheHandlerAgain", func(t *testing.T) { eachInbox(t, conflictRunsAgain) })
}

func failureLeavesNoMark(b *inboxBench) {
	failures := map[string]func() error{
		"error":     func() error { return errors.New("out of stock") },
		"permanent": func() error { return resilience.Permanent(errors.New("no such order")) },
		"panic":     func() error { panic("boom") },
		"goexit":    func() error { runtime.Goexit(); return nil },
	}
	for name, fail := range failures {
		runs := 0
		h := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
			runs++
			if err := effect(ctx, tx, name, m.ID); err != nil {
				return err
			}
			if runs == 1 {
				return fail()
			}
			return nil
		})
		handled := errors.New("did not return")
		done := make(chan struct{})
		go func() { // a goroutine, so that Goexit ends no test
			defer close(done)
			defer func() { recover() }()
			handled = h(b.Context(), messageOf("orders", name))
		}()
		<-done
		if handled == nil {
			b.Errorf("%s: the first delivery = nil, want an error", name)
		}
		if err := h(b.Context(), messageOf("orders", name)); err != nil {
			b.Errorf("%s: the second delivery = %v, want nil", name, err)
		}
		if runs != 2 {
			b.Errorf("%s: the handler ran %d times, want 2", name, runs)
		}
	}
	b.wantRows(len(failures), len(failures))
	if got := b.duplicates(); got != 0 {
		b.Errorf("duplicates = %d, want 0: nothing was handled twice", got)
	}
}

func duplicateDropped(b *inboxBench) {
	h := b.in.Handler("billing", effectOf("billing"))
	for i := range 3 {
		if err := h(b.Context(), messageOf("orders", "m-1")); err != nil {
			b.Errorf("delivery %d = %v, want nil", i+1, err)
		}
	}
	b.wantRows(1, 1)
	if got := b.duplicates(); got != 2 {
		b.Errorf("duplicates = %d, want 2", got)
	}
	logs := b.logs.String()
	if n := strings.Count(logs, "dropped a duplicate"); n != 2 || !strings.Contains(logs, "message_id=m-1") ||
		strings.Contains(logs, "level=WARN") || strings.Contains(logs, "level=ERROR") {
		b.Errorf("%d duplicates logged, want 2, with their IDs, and nothing worse:\n%s", n, logs)
	}
}

func subscriptionsDoNotMeet(b *inboxBench) {
	for _, name := range []string{"billing", "mail"} {
		for _, m := range []*pubsub.Message{
			messageOf("orders", "m-1"), messageOf("orders", "m-2"), messageOf("orders", "M-1"), messageOf("payments", "m-1"),
		} {
			h := b.in.Handler(name, func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
				return effect(ctx, tx, name, m.Topic+m.ID)
			})
			if err := h(b.Context(), m); err != nil {
				b.Errorf("%s: %v", name, err)
			}
		}
	}
	b.wantRows(8, 8)
}

func emptyIDRefused(b *inboxBench) {
	h := b.in.Handler("billing", effectOf("billing"))
	for range 2 {
		err := h(b.Context(), messageOf("orders", ""))
		var invalid *pubsub.InvalidError
		if !resilience.IsPermanent(err) || !errors.As(err, &invalid) || invalid.Field != "ID" {
			b.Errorf("handling a message without an ID = %v, want a permanent error that names the ID", err)
		}
	}
	b.wantRows(0, 0)
}

// foreignNames has names that are no label values, as those of somebody else's broker may be. SQLite stores them.
func foreignNames(t *testing.T) {
	b := newInboxBench(t, sqlxtest.SQLite(t), sqlx.SQLite, inbox.Options{})
	h := b.in.Handler("bill\xffing", effectOf("billing"))
	for i := range 2 {
		if err := h(t.Context(), messageOf("or\xfeders", "m-1")); err != nil {
			t.Errorf("delivery %d = %v, want nil", i+1, err)
		}
	}
	b.wantRows(1, 1)
	if got := b.duplicates(); got != 1 {
		t.Errorf("duplicates = %d, want 1", got)
	}
}

// secondCopyWaits delivers a message to two replicas. Whatever the first does, the effect is there once.
func secondCopyWaits(t *testing.T) {
	for name, first := range map[string]error{"AndIsADuplicate": nil, "AndRunsIfThatRolledBack": errors.New("lost")} {
		t.Run(name, func(t *testing.T) {
			for _, d := range []sqlx.Dialect{sqlx.SQLite, sqlx.Postgres} {
				t.Run(d.String(), func(t *testing.T) {
					dsn := sqlxtest.DSN(t, d)
					b := newInboxBench(t, inboxReplica(t, d, dsn), d, inbox.Options{})
					other := inbox.New(inboxReplica(t, d, dsn), d, &inbox.Options{Registerer: b.reg})
					meet(b, d, other, first)
				})
			}
		})
	}
}

func inboxReplica(t *testing.T, d sqlx.Dialect, dsn string) *sql.DB {
	t.Helper()
	db, err := sqlx.Open(t.Context(), d, dsn, &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// meet has other take up a message while b's handler, which then returns outcome, is handling it.
func meet(b *inboxBench, d sqlx.Dialect, other *inbox.Inbox, outcome error) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var runs atomic.Int32
	errs := make([]error, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		errs[0] = b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
			close(entered)
			<-leave
			runs.Add(1)
			return errors.Join(effect(ctx, tx, "first", m.ID), outcome)
		})(b.Context(), messageOf("orders", "m-1"))
	})
	<-entered
	wg.Go(func() {
		errs[1] = other.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
			if runs.Add(1) == 1 {
				b.Error("the second copy ran beside the first")
			}
			return effect(ctx, tx, "second", m.ID)
		})(b.Context(), messageOf("orders", "m-1"))
	})
	// Until the second stands before the lock of the first, where that can be seen.
	for end := time.Now().Add(20 * time.Second); d == sqlx.Postgres && !b.waits(); {
		if time.Now().After(end) {
			b.Error("the second copy does not wait for the first")
			break
		}
	}
	close(leave)
	wg.Wait()
	want, duplicates := 1, 1
	if outcome != nil {
		want, duplicates = 2, 0
	}
	if !errors.Is(errs[0], outcome) || errs[1] != nil {
		b.Errorf("the two copies = %v, %v, want %v, nil", errs[0], errs[1], outcome)
	}
	if got := int(runs.Load()); got != want || b.duplicates() != duplicates {
		b.Errorf("%d runs and %d duplicates, want %d and %d", got, b.duplicates(), want, duplicates)
	}
	b.wantRows(1, 1)
}

// waits reports whether a statement waits for a lock in this PostgreSQL database.
func (b *inboxBench) waits() bool {
	return b.count(`pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
}

func manyCopies(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
				if d == sqlx.SQLite && level == sql.LevelRepeatableRead {
					t.Skip("SQLite has no such level")
				}
				b := newInboxBench(t, db, d, inbox.Options{Isolation: level})
				h := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
					if d == sqlx.Postgres && level != sql.LevelDefault {
						wantIsolation(t, tx, level)
					}
					return effect(ctx, tx, "billing", m.ID)
				})
				errs := together(20, func() error { return h(t.Context(), messageOf("orders", "m-1")) })
				if err := errors.Join(errs...); err != nil {
					t.Error(err)
				}
				b.wantRows(1, 1)
				if got := b.duplicates(); got != 19 {
					t.Errorf("duplicates = %d, want 19", got)
				}
			})
		})
	}
}

func wantIsolation(t *testing.T, tx *sql.Tx, want sql.IsolationLevel) {
	t.Helper()
	var got string
	if err := tx.QueryRowContext(t.Context(), `SHOW transaction_isolation`).Scan(&got); err != nil || !strings.EqualFold(got, want.String()) {
		t.Errorf("isolation = %q, %v, want %v", got, err, want)
	}
}

func contextEndsMidway(b *inboxBench) {
	for name, f := range map[string]func(ctx context.Context, cancel func()) error{
		"while the handler runs": func(ctx context.Context, cancel func()) error { cancel(); <-ctx.Done(); return ctx.Err() },
		"before the commit":      func(_ context.Context, cancel func()) error { cancel(); return nil },
	} {
		ctx, cancel := context.WithCancel(b.Context())
		err := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
			return errors.Join(effect(ctx, tx, "billing", m.ID), f(ctx, cancel))
		})(ctx, messageOf("orders", name))
		// Also where database/sql has rolled back by itself before the commit, and says that the transaction is done.
		if !errors.Is(err, context.Canceled) {
			b.Errorf("the context ended %s: %v, want %v", name, err, context.Canceled)
		}
	}
	b.wantRows(0, 0)
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	if err := b.in.Handler("billing", effectOf("billing"))(ended, messageOf("orders", "m-1")); !errors.Is(err, context.Canceled) {
		b.Errorf("handling after the context's end = %v, want %v", err, context.Canceled)
	}
	b.wantRows(0, 0)
}

func handlerRollsBack(b *inboxBench) {
	err := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
		return errors.Join(effect(ctx, tx, "billing", m.ID), tx.Rollback())
	})(b.Context(), messageOf("orders", "m-1"))
	if !errors.Is(err, sql.ErrTxDone) {
		b.Errorf("handling = %v, want %v: nothing was committed", err, sql.ErrTxDone)
	}
	b.wantRows(0, 0)
}

// A statement that fails aborts a PostgreSQL transaction: its COMMIT rolls back, whatever the handler says.
func swallowedError(t *testing.T) {
	b := newInboxBench(t, sqlxtest.Postgres(t), sqlx.Postgres, inbox.Options{})
	err := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
		err := effect(ctx, tx, "billing", m.ID)
		_, _ = tx.ExecContext(ctx, `SELECT 1/0`)
		return err
	})(t.Context(), messageOf("orders", "m-1"))
	if err == nil || resilience.IsPermanent(err) {
		t.Errorf("handling = %v, want an error that is worth another attempt", err)
	}
	b.wantRows(0, 0)
}

// inboxCommitUnknown loses the connection while the answer to COMMIT is awaited.
func inboxCommitUnknown(t *testing.T) {
	p := newProxy(t, sqlxtest.DSN(t, sqlx.Postgres))
	p.start(t)
	b := newInboxBench(t, inboxReplica(t, sqlx.Postgres, p.DSN), sqlx.Postgres, inbox.Options{})
	runs := 0
	h := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
		runs++
		if runs == 1 {
			defer p.cutNext()
		}
		return effect(ctx, tx, "billing", m.ID)
	})
	err := h(t.Context(), messageOf("orders", "m-1"))
	if !errors.Is(err, sqlx.ErrCommitUnknown) || resilience.IsPermanent(err) {
		t.Errorf("the first delivery = %v, want %v, worth another attempt", err, sqlx.ErrCommitUnknown)
	}
	if err := h(t.Context(), messageOf("orders", "m-1")); err != nil {
		t.Errorf("the second delivery = %v, want nil", err)
	}
	b.wantRows(1, 1)
}

// conflictError is what a database reports that gave up the transaction.
type conflictError struct{}

func (conflictError) Error() string    { return "could not serialize access" }
func (conflictError) SQLState() string { return "40001" }

func conflictRunsAgain(b *inboxBench) {
	runs, committed := 0, 0
	h := b.in.Handler("billing", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
		runs++
		sqlx.AfterCommit(ctx, func() { committed++ })
		if err := effect(ctx, tx, "billing", m.ID); err != nil {
			return err
		}
		if runs < 3 {
			return fmt.Errorf("wrapped: %w", conflictError{})
		}
		return nil
	})
	if err := h(b.Context(), messageOf("orders", "m-1")); err != nil {
		b.Error(err)
	}
	if runs != 3 || committed != 1 || b.duplicates() != 0 {
		b.Errorf("%d runs, %d commits, %d duplicates, want 3, 1, 0", runs, committed, b.duplicates())
	}
	b.wantRows(1, 1)
}

func TestInboxMigrate(t *testing.T) {
	t.Run("ByManyReplicasAtOnce", func(t *testing.T) {
		sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
			in := inbox.New(db, d, &inbox.Options{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
			if err := errors.Join(together(5, func() error { return in.Migrate(t.Context()) })...); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("OtherTablesLiveBeside", func(t *testing.T) {
		eachInbox(t, func(b *inboxBench) {
			for _, table := range otherTables(b) {
				in := inbox.New(b.db, dialectOf(b), &inbox.Options{
					Table: table, Registerer: b.reg, Logger: slog.New(slog.DiscardHandler),
				})
				if err := in.Migrate(b.Context()); err != nil {
					b.Fatal(err)
				}
				if err := in.Handler("billing", effectOf("billing"))(b.Context(), messageOf("orders", "m-1")); err != nil {
					b.Error(err)
				}
				if got := b.count(table); got != 1 {
					b.Errorf("%d rows in %s, want 1", got, table)
				}
			}
			b.wantRows(len(otherTables(b)), 0)
		})
	})
	t.Run("NeedsItsTable", func(t *testing.T) {
		sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
			h := inbox.New(db, d, &inbox.Options{Registerer: prometheus.NewRegistry()}).Handler("billing", effectOf("billing"))
			err := h(t.Context(), messageOf("orders", "m-1"))
			if err == nil || resilience.IsPermanent(err) || !strings.Contains(err.Error(), "mainstay_inbox") {
				t.Errorf("handling = %v, want an error that names the table and is worth another attempt", err)
			}
		})
	})
}

func dialectOf(b *inboxBench) sqlx.Dialect {
	if strings.HasSuffix(b.Name(), "Postgres") {
		return sqlx.Postgres
	}
	return sqlx.SQLite
}

// otherTables includes the longest name there may be and, where there are schemas, one in another.
func otherTables(b *inboxBench) []string {
	tables := []string{"a", strings.Repeat("t", 37)}
	if dialectOf(b) == sqlx.Postgres {
		if _, err := b.db.ExecContext(b.Context(), `CREATE SCHEMA IF NOT EXISTS app`); err != nil {
			b.Fatal(err)
		}
		tables = append(tables, "app.mainstay_inbox")
	}
	return slices.Clip(tables)
}
