package sqlxtest_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// paid is the event of the stories.
type paid struct {
	Order string         `json:"order"`
	Lines map[string]int `json:"lines,omitempty"`
}

func payments() *pubsub.Topic[paid] {
	return pubsub.NewTopic("payments", &pubsub.TopicOptions[paid]{Key: func(e paid) string { return e.Order }})
}

func quietClient(b driver.Broker) *pubsub.Client {
	return pubsub.NewClient(b, &pubsub.Options{
		Source: "/test", Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
}

// outcomes counts how the attempts of subscriptions ended.
type outcomes struct {
	mu      sync.Mutex
	changed sync.Cond
	settled int // acknowledged, or sent to the dead letter for good
}

func newOutcomes() *outcomes {
	o := &outcomes{}
	o.changed.L = &o.mu
	return o
}

// options are those of a subscription whose attempts are counted.
func (o *outcomes) options() *pubsub.SubscriptionOptions {
	return &pubsub.SubscriptionOptions{
		Lease:      100 * time.Millisecond,
		Retry:      pubsub.Retry{MinBackoff: time.Millisecond},
		Middleware: []pubsub.Middleware{o.middleware},
	}
}

func (o *outcomes) middleware(next pubsub.Handler) pubsub.Handler {
	return func(ctx context.Context, m *pubsub.Message) error {
		err := next(ctx, m)
		o.mu.Lock()
		defer o.mu.Unlock()
		if err == nil || resilience.IsPermanent(err) {
			o.settled++
			o.changed.Broadcast()
		}
		return err
	}
}

// await returns once as many attempts as want returns, or more, are settled. It waits for 30s.
func (o *outcomes) await(t *testing.T, want func() int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.changed.Broadcast()
	})()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.settled < want() {
		if ctx.Err() != nil {
			t.Fatalf("%d attempts are settled, want %d", o.settled, want())
		}
		o.changed.Wait()
	}
}

// start runs subs until the returned function is called, which wants each to have ended well.
func start(t *testing.T, subs ...*pubsub.Subscription) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	errs := make([]error, len(subs))
	var wg sync.WaitGroup
	for i, s := range subs {
		ended := make(chan struct{})
		wg.Go(func() {
			defer close(ended)
			errs[i] = s.Run(ctx)
		})
		select {
		case <-s.Ready():
		case <-ended:
			t.Fatal(errs[i])
		}
	}
	return sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}

func TestInboxStory(t *testing.T) {
	t.Run("DuplicatesAndFailuresHaveOneEffect", func(t *testing.T) { eachInbox(t, oneEffect) })
	t.Run("LostAcknowledgementsHaveOneEffect", func(t *testing.T) { eachInbox(t, lostAcknowledgements) })
	t.Run("WhatDoesNotDecodeIsDeadLetteredAsItCame", func(t *testing.T) { eachInbox(t, undecodable) })
	t.Run("AHandlerThatTakesTooLongLeavesNoMark", func(t *testing.T) { eachInbox(t, handlerTimesOut) })
	t.Run("StrangersWithoutAGoodIDAreToldApart", func(t *testing.T) { eachInbox(t, strangers) })
	t.Run("EachRunHasItsOwnEvent", func(t *testing.T) { eachInbox(t, ownEvent) })
	t.Run("TheCounterIsThereBeforeTheFirstDuplicate", func(t *testing.T) { eachInbox(t, counterFromZero) })
}

// oneEffect has two replicas of billing, and mail, take 200 messages of which a third come twice and a fifth fail at
// first.
func oneEffect(b *inboxBench) {
	const n = 200
	broker := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{Seed: 7, DuplicateRatio: 0.3})
	client, o := quietClient(broker), newOutcomes()
	var mu sync.Mutex
	failed := map[string]bool{}
	failsNow := func(who, order string) bool {
		mu.Lock()
		defer mu.Unlock()
		fails := strings.HasSuffix(order, "3") || strings.HasSuffix(order, "8")
		first := !failed[who+order]
		failed[who+order] = true
		return fails && first
	}
	subscribe := func(who string) *pubsub.Subscription {
		return inbox.Subscribe(b.in, client, payments(), who, func(ctx context.Context, tx *sql.Tx, e paid) error {
			if err := effect(ctx, tx, who, e.Order); err != nil {
				return err
			}
			if failsNow(who, e.Order) {
				return errors.New("not yet")
			}
			return nil
		}, o.options())
	}
	stop := start(b.T, subscribe("billing"), subscribe("billing"), subscribe("mail"))
	defer stop()
	for i := range n {
		if err := payments().Publish(b.Context(), client, paid{Order: fmt.Sprint(i)}); err != nil {
			b.Fatal(err)
		}
	}
	o.await(b.T, func() int { return 2*n + broker.Faults().Duplicated })
	stop()
	twice := broker.Faults().Duplicated
	b.wantRows(2*n, 2*n)
	if got := b.count(`(SELECT DISTINCT who, what FROM effects) AS once`); got != 2*n {
		b.Errorf("%d different effects, want %d", got, 2*n)
	}
	if got := b.duplicates(); got != twice || got == 0 {
		b.Errorf("duplicates = %d, want %d, and some", got, twice)
	}
}

// lostAcknowledgements is the process that dies between commit and acknowledgement, each time anew.
func lostAcknowledgements(b *inboxBench) {
	const n = 20
	broker := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{DropAckRatio: 1})
	client, o := pubsub.NewClient(broker, &pubsub.Options{Registerer: b.reg, Logger: slog.New(slog.DiscardHandler)}), newOutcomes()
	stop := start(b.T, inbox.Subscribe(b.in, client, payments(), "billing",
		func(ctx context.Context, tx *sql.Tx, e paid) error { return effect(ctx, tx, "billing", e.Order) }, o.options()))
	defer stop()
	for i := range n {
		if err := payments().Publish(b.Context(), client, paid{Order: fmt.Sprint(i)}); err != nil {
			b.Fatal(err)
		}
	}
	o.await(b.T, func() int { return 3 * n })
	stop()
	if retries, failed := b.failures(); retries != 0 || failed != 0 {
		b.Errorf("%v retries and %v failed attempts, want none: a duplicate is neither", retries, failed)
	}
	b.wantRows(n, n)
	if got := b.duplicates(); got < 2*n {
		b.Errorf("duplicates = %d, want %d or more", got, 2*n)
	}
}

// failures returns what the client counted: attempts that another followed, and those that ended in an error.
func (b *inboxBench) failures() (retries, failed float64) {
	b.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "mainstay_pubsub_retries_total":
				retries += m.GetCounter().GetValue()
			case "messaging_process_duration_seconds":
				for _, l := range m.GetLabel() {
					if l.GetName() == "error_type" && l.GetValue() != "" {
						failed += float64(m.GetHistogram().GetSampleCount())
					}
				}
			}
		}
	}
	return retries, failed
}

func undecodable(b *inboxBench) {
	const poison = `{"order": 42, "lines":`
	client, o := quietClient(&mempubsub.Broker{}), newOutcomes()
	dead := make(chan *pubsub.Message, 1)
	stop := start(b.T,
		inbox.Subscribe(b.in, client, payments(), "billing",
			func(ctx context.Context, tx *sql.Tx, e paid) error { return effect(ctx, tx, "billing", e.Order) }, o.options()),
		client.Subscribe("payments.dead-letter.billing", "watch", func(_ context.Context, m *pubsub.Message) error {
			dead <- m
			return nil
		}, nil))
	defer stop()
	if err := client.Publish(b.Context(), "payments", &pubsub.Message{ID: "m-1", Data: []byte(poison)}); err != nil {
		b.Fatal(err)
	}
	o.await(b.T, func() int { return 1 })
	m := <-dead
	if string(m.Data) != poison || m.ID != "m-1" || m.DeadLetter == nil || m.DeadLetter.Attempts != 1 {
		b.Errorf("dead letter = %s of %s, %+v, want %s of m-1 after 1 attempt", m.Data, m.ID, m.DeadLetter, poison)
	}
	stop()
	b.wantRows(0, 0)
}

func handlerTimesOut(b *inboxBench) {
	client, o := quietClient(&mempubsub.Broker{}), newOutcomes()
	options := o.options()
	options.HandlerTimeout = time.Second
	runs := 0
	stop := start(b.T, inbox.Subscribe(b.in, client, payments(), "billing",
		func(ctx context.Context, tx *sql.Tx, e paid) error {
			runs++
			if err := effect(ctx, tx, "billing", e.Order); err != nil || runs > 1 {
				return err
			}
			<-ctx.Done()
			return nil // it does not even say so
		}, options))
	defer stop()
	if err := payments().Publish(b.Context(), client, paid{Order: "1"}); err != nil {
		b.Fatal(err)
	}
	o.await(b.T, func() int { return 1 })
	stop()
	if runs != 2 {
		b.Errorf("the handler ran %d times, want 2", runs)
	}
	b.wantRows(1, 1)
}

// strangers publish past the kit: what they call an ID is not one, or is one that a database could not store.
func strangers(b *inboxBench) {
	ids := []string{"", "", "a\x00b", "a\x00b", "\xff", strings.Repeat("x", 5000), "'; DROP TABLE effects; --", "ok", "OK"}
	broker := &mempubsub.Broker{}
	client, o := quietClient(broker), newOutcomes()
	stop := start(b.T, client.Subscribe("payments", "billing", b.in.Handler("billing", effectOf("billing")), o.options()))
	defer stop()
	for range 2 {
		for _, id := range ids[6:] {
			publishRaw(b.T, broker, id)
		}
	}
	for _, id := range ids[:6] {
		publishRaw(b.T, broker, id)
	}
	o.await(b.T, func() int { return len(ids) + 3 })
	stop()
	b.wantRows(len(ids), len(ids))
	if got := b.duplicates(); got != 3 {
		b.Errorf("duplicates = %d, want 3: those with an ID, published twice", got)
	}
}

func publishRaw(t *testing.T, b driver.Broker, id string) {
	t.Helper()
	m := driver.Message{ID: id, Attributes: driver.AttributesOf(map[string]string{"ce-id": id}), Data: []byte(`{}`)}
	if err := b.Publish(t.Context(), "payments", []driver.Message{m}); err != nil {
		t.Fatal(err)
	}
}

// ownEvent has a handler change the event it was given and then meet a conflict.
func ownEvent(b *inboxBench) {
	client, o := quietClient(&mempubsub.Broker{}), newOutcomes()
	var seen []int
	stop := start(b.T, inbox.Subscribe(b.in, client, payments(), "billing",
		func(_ context.Context, _ *sql.Tx, e paid) error {
			seen = append(seen, e.Lines["mug"])
			e.Lines["mug"]++
			if len(seen) < 3 {
				return conflictError{}
			}
			return nil
		}, o.options()))
	defer stop()
	if err := payments().Publish(b.Context(), client, paid{Order: "1", Lines: map[string]int{"mug": 1}}); err != nil {
		b.Fatal(err)
	}
	o.await(b.T, func() int { return 1 })
	stop()
	if got, _ := json.Marshal(seen); string(got) != "[1,1,1]" {
		b.Errorf("the runs saw %s, want [1,1,1]", got)
	}
}

func counterFromZero(b *inboxBench) {
	inbox.Subscribe(b.in, quietClient(&mempubsub.Broker{}), payments(), "billing",
		func(context.Context, *sql.Tx, paid) error { return nil }, nil)
	families, err := b.reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 1 {
		b.Fatalf("metrics = %v, %v, want one, of one series", families, err)
	}
	if m := families[0].GetMetric()[0]; m.GetCounter().GetValue() != 0 || m.GetLabel()[0].GetValue() != "billing" ||
		m.GetLabel()[1].GetValue() != "payments" {
		b.Errorf("metric = %v, want 0 for billing of payments", m)
	}
}

// FuzzInboxID: whatever a message's ID is, it has one effect, or is refused for good; and no ID is taken for another.
func FuzzInboxID(f *testing.F) {
	for _, id := range []string{"", "m-1", "M-1", "m-1 ", "a\x00b", "\xff", "é", "e\u0301", "'; DROP TABLE effects; --"} {
		f.Add(id, id+"2")
	}
	db := sqlxtest.SQLite(f)
	in := inbox.New(db, sqlx.SQLite, &inbox.Options{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err := in.Migrate(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		runs := 0
		h := in.Handler("billing", func(context.Context, *sql.Tx, *pubsub.Message) error { runs++; return nil })
		want := map[string]bool{}
		topic := t.Name() + fmt.Sprint(time.Now().UnixNano()) // the database is that of all inputs
		for _, id := range []string{a, b, a, b} {
			err := h(t.Context(), &pubsub.Message{ID: id, Topic: topic})
			if (id == "") != resilience.IsPermanent(err) || id != "" && err != nil {
				t.Errorf("handling %q = %v", id, err)
			}
			if id != "" {
				want[id] = true
			}
		}
		if runs != len(want) {
			t.Errorf("%q and %q: %d runs, want %d", a, b, runs, len(want))
		}
		var handled []string
		batch := in.BatchHandler("mail", func(_ context.Context, _ *sql.Tx, ms []*pubsub.Message) error {
			for _, m := range ms {
				handled = append(handled, m.ID)
			}
			return nil
		})
		for range 2 {
			err := batch(t.Context(), []*pubsub.Message{{ID: a, Topic: topic}, {ID: b, Topic: topic}, {ID: a, Topic: topic}})
			if (a == "" || b == "") != (err != nil) {
				t.Errorf("handling %q and %q in a batch = %v", a, b, err)
			}
		}
		slices.Sort(handled)
		if ids := slices.Sorted(maps.Keys(want)); !slices.Equal(handled, ids) {
			t.Errorf("%q and %q: %q were handled in batches, want %q", a, b, handled, ids)
		}
	})
}
