package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// broker is a Publisher that notes what it stored.
type broker struct {
	mu     sync.Mutex
	calls  int
	stored []pubsub.Message // Topic says to which
	arrive chan struct{}    // has a token after each store
	// refuse decides on each call; nil takes all. It may return a *pubsub.PublishError.
	refuse func(ctx context.Context, topic string, ms []*pubsub.Message) error
}

func newBroker() *broker { return &broker{arrive: make(chan struct{}, 1)} }

func (b *broker) Publish(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	b.mu.Lock()
	b.calls++
	refuse := b.refuse
	b.mu.Unlock()
	var err error
	if refuse != nil {
		err = refuse(ctx, topic, ms)
	}
	var partly *pubsub.PublishError
	if err != nil && !errors.As(err, &partly) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, m := range ms {
		if partly == nil || !slices.Contains(partly.Indexes, i) {
			c := *m
			c.Topic = topic
			b.stored = append(b.stored, c)
		}
	}
	select {
	case b.arrive <- struct{}{}:
	default:
	}
	return err
}

func (b *broker) set(refuse func(context.Context, string, []*pubsub.Message) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = refuse
}

func (b *broker) called() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

func (b *broker) messages() []pubsub.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.stored)
}

// payloads returns what was stored, in order.
func (b *broker) payloads() []string {
	var ps []string
	for _, m := range b.messages() {
		ps = append(ps, string(m.Data))
	}
	return ps
}

// wait returns once n messages were stored.
func (b *broker) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		got := len(b.messages())
		if got >= n {
			return
		}
		select {
		case <-b.arrive:
		case <-deadline:
			t.Fatalf("%d messages arrived within 30s, want %d", got, n)
		}
	}
}

// newBox returns an outbox whose tables are there.
func newBox(t *testing.T, db *sql.DB, d sqlx.Dialect) *outbox.Outbox {
	t.Helper()
	box := outbox.New(db, d, nil)
	for range 2 { // once more does nothing
		if err := box.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return box
}

// send stores messages of one key, by one transaction.
func send(t *testing.T, db *sql.DB, box *outbox.Outbox, topic, key string, payloads ...string) {
	t.Helper()
	err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
		return box.In(tx).Publish(ctx, topic, messages(key, payloads...)...)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func messages(key string, payloads ...string) []*pubsub.Message {
	ms := make([]*pubsub.Message, len(payloads))
	for i, p := range payloads {
		ms[i] = &pubsub.Message{Key: key, Data: []byte(p)}
	}
	return ms
}

// relay runs a relay until the test ends or stop is called, which returns what Run did.
func relay(t *testing.T, box *outbox.Outbox, b pubsub.Publisher, o *outbox.RelayOptions) (stop func() error) {
	t.Helper()
	opt := outbox.RelayOptions{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}
	if o != nil {
		opt = *o
		if opt.Registerer == nil {
			opt.Registerer = prometheus.NewRegistry()
		}
		if opt.Logger == nil {
			opt.Logger = slog.New(slog.DiscardHandler)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r := box.Relay(b, &opt) // its metrics are there from here on
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	return stop
}

// empty wants no row to be left, and the leases to be given back.
func empty(t *testing.T, db *sql.DB) {
	t.Helper()
	eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM mainstay_outbox`) == 0 })
	eventually(t, func() bool { return number(t, db, `SELECT max(expires_ms) FROM mainstay_outbox_lease`) == 0 })
}

func TestOutbox(t *testing.T) {
	t.Run("RolledBackNeverLeaves", rolledBack)
	t.Run("StoresTheWholeMessage", wholeMessage)
	t.Run("StoresManyByOnePublish", manyByOne)
	t.Run("RefusesWhatCannotTravel", func(t *testing.T) {
		db := sqlxtest.SQLite(t)
		box := newBox(t, db, sqlx.SQLite)
		err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			return box.In(tx).Publish(ctx, "a", &pubsub.Message{}, &pubsub.Message{Key: "a\x00b"})
		}, nil)
		var invalid *pubsub.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "message 1") {
			t.Errorf("Publish = %v, want a *pubsub.InvalidError of message 1", err)
		}
	})
}

func rolledBack(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		no := errors.New("no")
		err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			if err := box.In(tx).Publish(ctx, "orders", messages("k", "never")...); err != nil {
				return err
			}
			return no
		}, nil)
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		send(t, db, box, "orders", "k", "1", "2", "3")
		relay(t, box, b, nil)
		b.wait(t, 3)
		empty(t, db)
		if got, want := b.payloads(), []string{"1", "2", "3"}; !slices.Equal(got, want) {
			t.Errorf("stored = %q, want %q", got, want)
		}
	})
}

func wholeMessage(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		tp := sdktrace.NewTracerProvider()
		ctx, span := tp.Tracer("").Start(correlation.NewContext(t.Context(), "corr-1"), "request")
		ctx = pubsub.NewContext(ctx, &pubsub.Message{ID: "cause-1"})
		want := &pubsub.Message{
			ID: "m-1", Key: "k\u00e9y", Type: "order.created.v2", Source: "/orders", ContentType: "text/plain",
			Time:     time.Date(2026, 11, 25, 1, 2, 3, 456789, time.UTC),
			Metadata: map[string]string{"tenant": "ann"}, Data: []byte("\x00\xff binary"),
		}
		err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			return box.In(tx).Publish(ctx, "orders", want, &pubsub.Message{})
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		span.End()
		relay(t, box, b, nil)
		b.wait(t, 2)
		got, second := b.messages()[0], b.messages()[1]
		if got.ID != want.ID {
			got, second = second, got // the other one has no key, and so no order
		}
		if got.ID != want.ID || got.Key != want.Key || got.Type != want.Type || got.Source != want.Source ||
			got.ContentType != want.ContentType || !got.Time.Equal(want.Time) || got.Metadata["tenant"] != "ann" ||
			string(got.Data) != string(want.Data) {
			t.Errorf("message = %+v, want %+v", got, want)
		}
		if got.CorrelationID != "corr-1" || got.CausationID != "cause-1" {
			t.Errorf("correlation %q, causation %q; want corr-1, cause-1", got.CorrelationID, got.CausationID)
		}
		if id := span.SpanContext().TraceID().String(); !strings.Contains(got.Trace.Get("traceparent"), id) {
			t.Errorf("traceparent = %q, want trace %s", got.Trace.Get("traceparent"), id)
		}
		if second.ID == "" || second.Type != "orders" || second.Time.IsZero() || len(second.Data) != 0 {
			t.Errorf("empty message = %+v, want its defaults filled in", second)
		}
	})
}

func manyByOne(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		box, b := newBox(t, db, d), newBroker()
		var want []string
		for i := range 1234 {
			want = append(want, fmt.Sprint(i))
		}
		send(t, db, box, "orders", "k", want...)
		relay(t, box, b, nil)
		b.wait(t, len(want))
		empty(t, db)
		if got := b.payloads(); !slices.Equal(got, want) {
			t.Errorf("stored %d messages in another order, want 0 to 1233", len(got))
		}
	})
}
