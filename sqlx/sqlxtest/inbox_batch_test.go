package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// batchOf is messages with the IDs that are given.
func batchOf(ids ...string) []*pubsub.Message {
	ms := make([]*pubsub.Message, len(ids))
	for i, id := range ids {
		ms[i] = messageOf("orders", id)
		ms[i].Attempt = 1
	}
	return ms
}

func tenMessages() []*pubsub.Message {
	return batchOf("m-0", "m-1", "m-2", "m-3", "m-4", "m-5", "m-6", "m-7", "m-8", "m-9")
}

// runsOf is a batch handler with one effect a message, which notes what it was given. After the effects fail says how
// the run ends; it may be nil.
type runsOf struct {
	mu   sync.Mutex
	runs []string
	fail func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error
}

func (r *runsOf) handle(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error {
	var ids []string
	for _, m := range ms {
		ids = append(ids, m.ID)
		if err := effect(ctx, tx, "billing", m.ID); err != nil {
			return err
		}
	}
	slices.Sort(ids)
	r.mu.Lock()
	r.runs = append(r.runs, strings.Join(ids, " "))
	r.mu.Unlock()
	if r.fail != nil {
		return r.fail(ctx, tx, ms)
	}
	return nil
}

func (r *runsOf) want(t *testing.T, runs ...string) {
	t.Helper()
	if !slices.Equal(r.runs, runs) {
		t.Errorf("runs = %q, want %q", r.runs, runs)
	}
}

// has says where the message of that ID is, -1 where it is not.
func has(ms []*pubsub.Message, id string) int {
	return slices.IndexFunc(ms, func(m *pubsub.Message) bool { return m.ID == id })
}

// failedOf returns the positions that err names, all of n for another error, and none for nil.
func failedOf(err error, n int) (at []int) {
	var partly *pubsub.BatchError
	for i := range n {
		if errors.As(err, &partly) {
			if _, failed := partly.Failed[i]; !failed {
				continue
			}
		}
		if err != nil {
			at = append(at, i)
		}
	}
	return at
}

func TestInboxBatch(t *testing.T) {
	t.Run("OneRunAndOneTransaction", func(t *testing.T) { eachInbox(t, oneRun) })
	t.Run("DuplicatesDoNotReachTheHandler", func(t *testing.T) { eachInbox(t, batchDuplicates) })
	t.Run("CopiesInOneBatchAreOne", func(t *testing.T) { eachInbox(t, copiesInOne) })
	t.Run("APoisonMessageTakesNobodyAlong", func(t *testing.T) { eachInbox(t, poison) })
	t.Run("APoisonMessageThatEndsItsGoroutine", func(t *testing.T) { eachInbox(t, poisonGoexit) })
	t.Run("AMessageThatHangsBlocksNobody", func(t *testing.T) { eachInbox(t, hangs) })
	t.Run("WhatTheHandlerNamesFailsAlone", func(t *testing.T) { eachInbox(t, named) })
	t.Run("AMessageThatFailedBeforeIsHandledAlone", func(t *testing.T) { eachInbox(t, triedBefore) })
	t.Run("AConflictRunsTheHandlerAgain", func(t *testing.T) { eachInbox(t, batchConflict) })
	t.Run("OddIDsAreToldApartAndNoneIsRefused", func(t *testing.T) { eachInbox(t, oddIDs) })
	t.Run("BatchesThatOverlapHaveOneEffect", func(t *testing.T) { eachInbox(t, overlapping) })
	t.Run("SinglesAndBatchesShareTheRecord", func(t *testing.T) { eachInbox(t, shareRecord) })
	t.Run("TheContextEndsMidway", func(t *testing.T) { eachInbox(t, batchContextEnds) })
	t.Run("ADatabaseThatIsAwayIsNotAskedForEach", func(t *testing.T) { eachInbox(t, batchDatabaseAway) })
	t.Run("BadArguments", func(t *testing.T) { eachInbox(t, batchArguments) })
}

func oneRun(b *inboxBench) {
	r := &runsOf{}
	h := b.in.BatchHandler("billing", r.handle)
	for range 2 {
		if err := h(b.Context(), tenMessages()); err != nil {
			b.Error(err)
		}
	}
	r.want(b.T, "m-0 m-1 m-2 m-3 m-4 m-5 m-6 m-7 m-8 m-9")
	b.wantRows(10, 10)
	if got := b.duplicates(); got != 10 {
		b.Errorf("duplicates = %d, want 10", got)
	}
	other := messageOf("payments", "m-0")
	if err := errors.Join(h(b.Context(), append(batchOf("m-10"), other)), b.in.BatchHandler("mail", r.handle)(b.Context(), batchOf("m-0", "m-1"))); err != nil {
		b.Error(err)
	}
	b.wantRows(14, 14)
	if got := b.count(`mainstay_inbox WHERE topic = 'payments' AND message_id = 'm-0'`); got != 1 || b.count(`mainstay_inbox WHERE topic = 'payments'`) != 1 {
		b.Errorf("%d marks of m-0 of payments, want it alone of that topic", got)
	}
}

func batchDuplicates(b *inboxBench) {
	r := &runsOf{}
	h := b.in.BatchHandler("billing", r.handle)
	for _, ms := range [][]*pubsub.Message{batchOf("m-3", "m-1"), batchOf("m-5", "m-1", "m-4", "m-3", "m-2")} {
		if err := h(b.Context(), ms); err != nil {
			b.Error(err)
		}
	}
	r.want(b.T, "m-1 m-3", "m-2 m-4 m-5")
	b.wantRows(5, 5)
	if logs := b.logs.String(); b.duplicates() != 2 || strings.Count(logs, "dropped a duplicate") != 2 ||
		!strings.Contains(logs, "message_id=m-1") || !strings.Contains(logs, "message_id=m-3") {
		b.Errorf("%d duplicates, want 2, m-1 and m-3:\n%s", b.duplicates(), logs)
	}
}

func copiesInOne(b *inboxBench) {
	failing := true
	r := &runsOf{fail: func(_ context.Context, _ *sql.Tx, ms []*pubsub.Message) error {
		if failing && has(ms, "m-2") >= 0 {
			return errors.New("not yet")
		}
		return nil
	}}
	h := b.in.BatchHandler("billing", r.handle)
	err := h(b.Context(), batchOf("m-1", "m-2", "m-1", "m-2", "m-1"))
	if got := failedOf(err, 5); !slices.Equal(got, []int{1, 3}) {
		b.Errorf("failed = %v, %v, want 1 and 3: a copy fares as what it is a copy of", got, err)
	}
	failing = false
	if err := h(b.Context(), batchOf("m-2", "m-2")); err != nil {
		b.Error(err)
	}
	b.wantRows(2, 2)
	if got := b.duplicates(); got != 3 {
		b.Errorf("duplicates = %d, want 3", got)
	}
}

func poison(b *inboxBench) {
	bad := errors.New("bad")
	for name, fail := range map[string]func(ctx context.Context, tx *sql.Tx) error{
		"error":     func(context.Context, *sql.Tx) error { return bad },
		"permanent": func(context.Context, *sql.Tx) error { return resilience.Permanent(bad) },
		"wrapped":   func(context.Context, *sql.Tx) error { return fmt.Errorf("wrapped: %w", &pubsub.BatchError{}) },
		"nameless":  func(context.Context, *sql.Tx) error { return &pubsub.BatchError{} },
		"nowhere":   func(context.Context, *sql.Tx) error { return &pubsub.BatchError{Failed: map[int]error{99: bad}} },
		"panic":     func(context.Context, *sql.Tx) error { panic(bad) },
		"statement": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `SELECT nothing`)
			return err
		},
		"endTx": func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() },
	} {
		failing := true
		r := &runsOf{fail: func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error {
			if failing && has(ms, "m-3") >= 0 {
				return fail(ctx, tx)
			}
			return nil
		}}
		h := b.in.BatchHandler(name, r.handle)
		err := h(b.Context(), tenMessages())
		if got := failedOf(err, 10); !slices.Equal(got, []int{3}) {
			b.Errorf("%s: failed = %v, %v, want 3 alone", name, got, err)
		}
		if (name == "error" || name == "permanent" || name == "panic") && !errors.Is(err, bad) {
			b.Errorf("%s: %v, want one that tells the cause", name, err)
		}
		if name == "permanent" && !resilience.IsPermanent(err.(*pubsub.BatchError).Failed[3]) {
			b.Errorf("%s: %v, want it permanent for the one", name, err)
		}
		if len(r.runs) != 11 {
			b.Errorf("%s: %d runs, want the batch's and 10 singles", name, len(r.runs))
		}
		failing = false
		if err := h(b.Context(), tenMessages()); err != nil {
			b.Errorf("%s: the second time: %v, want nil", name, err)
		}
	}
	b.wantRows(80, 80)
	if got := b.duplicates(); got != 72 {
		b.Errorf("duplicates = %d, want 72: all but the poisoned, the second time", got)
	}
}

// poisonGoexit ends the goroutine of the first run. When the messages come again, as they do, each is alone.
func poisonGoexit(b *inboxBench) {
	r := &runsOf{fail: func(_ context.Context, _ *sql.Tx, ms []*pubsub.Message) error {
		if has(ms, "m-3") >= 0 {
			runtime.Goexit()
		}
		return nil
	}}
	h := b.in.BatchHandler("billing", r.handle)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := h(b.Context(), tenMessages())
		b.Errorf("the first batch = %v, want Goexit", err)
	}()
	<-done
	b.wantRows(0, 0)
	again := tenMessages()
	for _, m := range again {
		m.Attempt = 2
	}
	if err := h(b.Context(), again); !slices.Equal(failedOf(err, 10), []int{3}) {
		b.Errorf("failed = %v, %v, want 3 alone", failedOf(err, 10), err)
	}
	b.wantRows(9, 9)
}

func hangs(b *inboxBench) {
	r := &runsOf{fail: func(ctx context.Context, _ *sql.Tx, ms []*pubsub.Message) error {
		if has(ms, "m-0") >= 0 || has(ms, "m-1") >= 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	ctx, cancel := context.WithTimeout(b.Context(), 8*time.Second)
	defer cancel()
	err := b.in.BatchHandler("billing", r.handle)(ctx, tenMessages())
	if got := failedOf(err, 10); !slices.Equal(got, []int{0, 1}) || !errors.Is(err, context.DeadlineExceeded) {
		b.Errorf("failed = %v, %v, want the two that hang, for %v", got, err, context.DeadlineExceeded)
	}
	b.wantRows(8, 8)
}

func named(b *inboxBench) {
	bad := errors.New("bad")
	r := &runsOf{fail: func(_ context.Context, _ *sql.Tx, ms []*pubsub.Message) error {
		failed := map[int]error{}
		if i := has(ms, "m-3"); i >= 0 {
			failed[i] = resilience.Permanent(bad)
		}
		if i := has(ms, "m-7"); i >= 0 {
			failed[i] = nil
		}
		if len(failed) > 0 {
			return &pubsub.BatchError{Failed: failed}
		}
		return nil
	}}
	h := b.in.BatchHandler("billing", r.handle)
	if err := h(b.Context(), batchOf("m-1")); err != nil { // so that what is fresh is not what came
		b.Error(err)
	}
	err := h(b.Context(), tenMessages())
	if got := failedOf(err, 10); !slices.Equal(got, []int{3, 7}) {
		b.Errorf("failed = %v, %v, want 3 and 7", got, err)
	}
	if partly, ok := errors.AsType[*pubsub.BatchError](err); !ok || !errors.Is(partly.Failed[3], bad) ||
		!resilience.IsPermanent(partly.Failed[3]) || partly.Failed[7] == nil || resilience.IsPermanent(partly.Failed[7]) {
		b.Errorf("%v, want each message's own cause", err)
	}
	r.want(b.T, "m-1", "m-0 m-2 m-3 m-4 m-5 m-6 m-7 m-8 m-9", "m-0 m-2 m-4 m-5 m-6 m-8 m-9")
	b.wantRows(8, 8)
}

func triedBefore(b *inboxBench) {
	r := &runsOf{}
	ms := batchOf("m-1", "m-2", "m-3", "m-4")
	ms[1].Attempt = 2
	if err := b.in.BatchHandler("billing", r.handle)(b.Context(), ms); err != nil {
		b.Error(err)
	}
	r.want(b.T, "m-1 m-3 m-4", "m-2")
	b.wantRows(4, 4)
}

func batchConflict(b *inboxBench) {
	committed := 0
	r := &runsOf{}
	r.fail = func(ctx context.Context, _ *sql.Tx, _ []*pubsub.Message) error {
		sqlx.AfterCommit(ctx, func() { committed++ })
		if len(r.runs) < 3 {
			return fmt.Errorf("wrapped: %w", conflictError{})
		}
		return nil
	}
	if err := b.in.BatchHandler("billing", r.handle)(b.Context(), batchOf("m-1", "m-2")); err != nil {
		b.Error(err)
	}
	r.want(b.T, "m-1 m-2", "m-1 m-2", "m-1 m-2")
	if committed != 1 {
		b.Errorf("%d commits, want 1", committed)
	}
	b.wantRows(2, 2)
}

func oddIDs(b *inboxBench) {
	ids := []string{`"`, `\`, `\"`, `{}`, `,`, `NULL`, `null`, ` `, `a `, `a`, `A`, "é", "e\u0301", "\u2028", "\x7f", "😀",
		"'; DROP TABLE effects; --", "a\tb", "a\nb"}
	r := &runsOf{}
	h := b.in.BatchHandler("billing", r.handle)
	for range 2 {
		if err := h(b.Context(), batchOf(ids...)); err != nil {
			b.Error(err)
		}
	}
	b.wantRows(len(ids), len(ids))
	if got := b.duplicates(); got != len(ids) {
		b.Errorf("duplicates = %d, want %d", got, len(ids))
	}
	err := h(b.Context(), batchOf("", "m-1", "", "m-2"))
	if got := failedOf(err, 4); !slices.Equal(got, []int{0, 2}) || !resilience.IsPermanent(err.(*pubsub.BatchError).Failed[2]) {
		b.Errorf("failed = %v, %v, want those without an ID, for good", got, err)
	}
	long := "" // more than an index of PostgreSQL's takes, and not to be compressed
	for len(long) < 20000 {
		long += fmt.Sprintf("%x", rand.Uint64())
	}
	err = h(b.Context(), batchOf("m-3", long, "m-4"))
	if got := failedOf(err, 3); dialectOf(b) == sqlx.Postgres && !slices.Equal(got, []int{1}) {
		b.Errorf("failed = %v, %v, want nobody but the one that cannot be stored", got, err)
	}
	if n := b.count(`effects WHERE what IN ('m-1', 'm-2', 'm-3', 'm-4')`); n != 4 {
		b.Errorf("%d of the neighbours were handled, want 4", n)
	}
}

// overlapping has batches meet that have messages in common, in different orders.
func overlapping(b *inboxBench) {
	r := &runsOf{}
	h := b.in.BatchHandler("billing", r.handle)
	var mu sync.Mutex
	turn := 0
	errs := together(8, func() error {
		mu.Lock()
		turn++
		shift := turn
		mu.Unlock()
		var all error
		for n := range 20 {
			ids := []string{}
			for i := range 10 {
				ids = append(ids, fmt.Sprintf("m-%d", n*5+(i+shift)%10))
			}
			if shift%2 == 0 {
				slices.Reverse(ids)
			}
			all = errors.Join(all, h(b.Context(), batchOf(ids...)))
		}
		return all
	})
	if err := errors.Join(errs...); err != nil {
		b.Error(err)
	}
	b.wantRows(105, 105)
	if got := b.duplicates(); got != 8*20*10-105 {
		b.Errorf("duplicates = %d, want %d", got, 8*20*10-105)
	}
}

func shareRecord(b *inboxBench) {
	single, r := b.in.Handler("billing", effectOf("billing")), &runsOf{}
	batch := b.in.BatchHandler("billing", r.handle)
	err := errors.Join(single(b.Context(), messageOf("orders", "m-1")), batch(b.Context(), batchOf("m-1", "m-2")),
		single(b.Context(), messageOf("orders", "m-2")))
	if err != nil {
		b.Error(err)
	}
	b.wantRows(2, 2)
}

func batchContextEnds(b *inboxBench) {
	ctx, cancel := context.WithCancel(b.Context())
	r := &runsOf{fail: func(ctx context.Context, _ *sql.Tx, _ []*pubsub.Message) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}}
	h := b.in.BatchHandler("billing", r.handle)
	err := h(ctx, tenMessages())
	if got := failedOf(err, 10); len(got) != 10 || !errors.Is(err, context.Canceled) || len(r.runs) != 1 {
		b.Errorf("failed = %v, %v after %d runs, want all, %v, after 1", got, err, len(r.runs), context.Canceled)
	}
	b.wantRows(0, 0)
	if got := failedOf(h(ctx, tenMessages()), 10); len(got) != 10 || len(r.runs) != 1 {
		b.Errorf("after the context's end %v failed, and %d runs, want all, and no more", got, len(r.runs))
	}
}

func batchDatabaseAway(b *inboxBench) {
	r := &runsOf{}
	h := b.in.BatchHandler("billing", r.handle)
	b.db.Close()
	err := h(b.Context(), tenMessages())
	if got := failedOf(err, 10); len(got) != 10 || resilience.IsPermanent(err) || len(r.runs) != 0 {
		b.Errorf("failed = %v, %v, want all, worth another attempt", got, err)
	}
}

func batchArguments(b *inboxBench) {
	if b.in.BatchHandler("billing", nil) != nil {
		b.Error("the handler of a nil function is not nil")
	}
	if err := b.in.BatchHandler("billing", (&runsOf{}).handle)(b.Context(), nil); err != nil {
		b.Errorf("an empty batch = %v, want nil", err)
	}
	if got := failedOf(b.in.BatchHandler("", (&runsOf{}).handle)(b.Context(), tenMessages()), 10); len(got) != 10 {
		b.Errorf("without a name %v failed, want all", got)
	}
	b.wantRows(0, 0)
}

// TestInboxBatchStory has a broker deliver a third twice and lose acknowledgements, beside messages that do not decode
// and one that always fails.
func TestInboxBatchStory(t *testing.T) { eachInbox(t, batchStory) }

func batchStory(b *inboxBench) {
	const n = 300
	broker := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{Seed: 7, DuplicateRatio: 0.3, DropAckRatio: 0.1})
	client := quietClient(broker)
	box := outbox.New(b.db, dialectOf(b), &outbox.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := box.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	shipments := pubsub.NewTopic[shipped]("shipments", nil)
	dead := make(chan string, 100)
	options := func() *pubsub.BatchOptions {
		return &pubsub.BatchOptions{MaxBatch: 50, MaxWait: 10 * time.Millisecond, SubscriptionOptions: pubsub.SubscriptionOptions{
			Lease: 100 * time.Millisecond, Concurrency: 2,
			Retry: pubsub.Retry{MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, MaxAttempts: 3},
		}}
	}
	handle := func(ctx context.Context, tx *sql.Tx, es []pubsub.Received[paid]) error {
		for _, e := range es {
			if err := effect(ctx, tx, "billing", e.Event.Order); err != nil {
				return err
			}
			if err := shipments.Publish(pubsub.NewContext(ctx, e.Message), box.In(tx), shipped{e.Event.Order}); err != nil {
				return err
			}
			if e.Event.Order == "13" {
				return errors.New("never")
			}
		}
		return nil
	}
	stop := start(b.T, inbox.SubscribeBatch(b.in, client, payments(), "billing", handle, options()),
		inbox.SubscribeBatch(b.in, client, payments(), "billing", handle, options()),
		client.Subscribe("payments.dead-letter.billing", "watch", func(_ context.Context, m *pubsub.Message) error {
			dead <- string(m.Data)
			return nil
		}, nil))
	defer stop()
	for i := range n {
		if err := payments().Publish(b.Context(), client, paid{Order: fmt.Sprint(i)}); err != nil {
			b.Fatal(err)
		}
		if i%100 == 50 {
			if err := client.Publish(b.Context(), "payments", &pubsub.Message{Data: []byte("{")}); err != nil {
				b.Fatal(err)
			}
		}
	}
	eventually(b.T, func() bool { return b.count("mainstay_inbox") >= n-1 && b.duplicates() > 0 })
	seen := map[string]bool{}
	for len(seen) < 2 {
		select {
		case data := <-dead:
			seen[data] = true
		case <-time.After(time.Minute):
			b.Fatalf("dead letters = %v, want two kinds", seen)
		}
	}
	stop()
	b.wantRows(n-1, n-1)
	if got := b.count(`(SELECT DISTINCT what FROM effects) AS once`); got != n-1 {
		b.Errorf("%d different effects, want %d", got, n-1)
	}
	if got := b.count("mainstay_outbox"); got != n-1 {
		b.Errorf("%d events wait to leave, want %d", got, n-1)
	}
	if !seen["{"] || !seen[`{"order":"13"}`] {
		b.Errorf("dead letters = %v, want the two that fail", seen)
	}
}

// An inbox that cannot be used is a subscription that does not run.
func TestInboxBatchRefusesABadInbox(t *testing.T) {
	in := inbox.New(sqlxtest.SQLite(t), 0, &inbox.Options{Registerer: prometheus.NewRegistry()})
	f := func(context.Context, *sql.Tx, []pubsub.Received[paid]) error { return nil }
	if err := inbox.SubscribeBatch(in, quietClient(&mempubsub.Broker{}), payments(), "billing", f, nil).Run(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "dialect(0)") {
		t.Errorf("Run = %v, want an error with dialect(0)", err)
	}
	if err := inbox.SubscribeBatch(in, quietClient(&mempubsub.Broker{}), payments(), "billing", nil, nil).Run(t.Context()); err == nil {
		t.Error("Run without a handler = nil, want an error")
	}
}
