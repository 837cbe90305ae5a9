package sqlxtest_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

// TestStory: what a message tells of the request that began it, and of the message that caused it.
func TestStory(t *testing.T) {
	t.Run("CausesFollowOneAnotherThroughOutboxAndInbox", causes)
	t.Run("RequestsAtOnceDoNotMix", requestsDoNotMix)
	t.Run("TheRelaysLinesBorrowNoID", relayLines)
	t.Run("AMessageWithoutATraceDoesNotJoinTheRelays", noTrace)
	t.Run("BaggageThatIsNotListedIsNotStored", storedBaggage)
}

// step is the event of causes: of which request, and how far from it.
type step struct{ Request, Step string }

// causes has a request publish a, whose handler publishes b, whose handler publishes c. Everything is delivered twice,
// and every handler fails once after it has published.
func causes(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		const requests = 10
		box, in := newBox(t, db, d), inbox.New(db, d, &inbox.Options{Registerer: prometheus.NewRegistry()})
		if err := in.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		broker := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{DuplicateRatio: 1})
		client := pubsub.NewClient(broker, &pubsub.Options{
			Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		})
		topic := func(name string) *pubsub.Topic[step] { return pubsub.NewTopic[step](name, nil) }
		var mu sync.Mutex
		seen := map[step][]string{} // the lineages of the attempts to handle each
		ids := map[step]string{}
		done := newOutcomes()
		for _, hop := range []struct{ from, to string }{{"a", "b"}, {"b", "c"}, {"c", ""}} {
			s := inbox.Subscribe(in, client, topic(hop.from), "story", func(ctx context.Context, tx *sql.Tx, e step) error {
				m := pubsub.MessageFrom(ctx)
				mu.Lock()
				again := len(seen[e]) > 0
				seen[e] = append(seen[e], m.CausationID+" "+m.CorrelationID+" "+correlation.FromContext(ctx))
				ids[e] = m.ID
				mu.Unlock()
				if hop.to != "" {
					err := topic(hop.to).Publish(ctx, box.In(tx), step{e.Request, hop.to})
					if err != nil {
						return err
					}
				}
				if !again {
					return errors.New("not yet")
				}
				return nil
			}, done.options())
			defer start(t, s)()
		}
		relay(t, box, client, nil)
		for i := range requests {
			request := fmt.Sprintf("r-%d", i)
			ctx := correlation.NewContext(t.Context(), request)
			err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
				return topic("a").Publish(ctx, box.In(tx), step{request, "a"})
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		done.await(t, func() int { return 3 * requests })
		eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM mainstay_inbox`) == 3*requests })
		mu.Lock()
		defer mu.Unlock()
		for i := range requests {
			request, cause := fmt.Sprintf("r-%d", i), ""
			for _, name := range []string{"a", "b", "c"} {
				e := step{request, name}
				want := cause + " " + request + " " + request
				if got := seen[e]; len(got) < 2 || slices.ContainsFunc(got, func(s string) bool { return s != want }) {
					t.Errorf("%s of %s was handled as %q, want each attempt as %q", name, request, got, want)
				}
				cause = ids[e]
			}
		}
	})
}

// requestsDoNotMix has a thousand requests at once store an event each.
func requestsDoNotMix(t *testing.T) {
	const requests = 1000
	db := sqlxtest.SQLite(t)
	box, b := newBox(t, db, sqlx.SQLite), newBroker()
	relay(t, box, b, nil)
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			id := fmt.Sprintf("r-%d", i)
			ctx := correlation.NewContext(t.Context(), id)
			err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
				return box.In(tx).Publish(ctx, "orders", &pubsub.Message{Data: []byte(id)})
			}, nil)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.wait(t, requests)
	different := map[string]bool{}
	for _, m := range b.messages() {
		if m.CorrelationID != string(m.Data) || m.CausationID != "" {
			t.Errorf("the event of %s came in %s, of %q; want its own, of nothing", m.Data, m.CorrelationID, m.CausationID)
		}
		different[m.CorrelationID] = true
	}
	if len(different) != requests {
		t.Errorf("%d IDs, want %d", len(different), requests)
	}
}

// relayLines: a broker that is away is nobody's story; a message that is set aside belongs to its own.
func relayLines(t *testing.T) {
	db := sqlxtest.SQLite(t)
	box, b, log := newBox(t, db, sqlx.SQLite), newBroker(), newWarnings()
	b.set(func(context.Context, string, []*pubsub.Message) error { return errors.New("connection refused") })
	ctx := correlation.NewContext(t.Context(), "r-1")
	err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		return box.In(tx).Publish(ctx, "orders", &pubsub.Message{ID: "m-1"})
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	relay(t, box, b, &outbox.RelayOptions{Logger: logging.New(log, nil)})
	eventually(t, func() bool { return strings.Contains(log.String(), "connection refused") })
	b.set(func(context.Context, string, []*pubsub.Message) error {
		return &pubsub.InvalidError{Field: "Key", Reason: "is odd"}
	})
	eventually(t, func() bool { return strings.Contains(log.String(), "set aside") })
	for line := range strings.Lines(log.String()) {
		var got struct {
			Msg         string `json:"msg"`
			Correlation string `json:"correlation_id"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		want := ""
		if strings.Contains(got.Msg, "set aside") {
			want = "r-1"
		}
		if got.Correlation != want {
			t.Errorf("the correlation ID of %s is %q, want %q", line, got.Correlation, want)
		}
	}
}

// noTrace runs a relay within a span.
func noTrace(t *testing.T) {
	db := sqlxtest.SQLite(t)
	box := newBox(t, db, sqlx.SQLite)
	tp := sdktrace.NewTracerProvider()
	client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{
		Registerer: prometheus.NewRegistry(), TracerProvider: tp,
	})
	got := make(chan *pubsub.Message, 1)
	defer start(t, client.Subscribe("orders", "watch", func(_ context.Context, m *pubsub.Message) error {
		got <- m
		return nil
	}, nil))()
	send(t, db, box, "orders", "k", "1")
	ctx, cancel := context.WithCancel(context.Background())
	ctx, span := tp.Tracer("").Start(ctx, "main")
	defer span.End()
	ended := make(chan error, 1)
	go func() {
		ended <- box.Relay(client, &outbox.RelayOptions{Registerer: prometheus.NewRegistry()}).Run(ctx)
	}()
	select {
	case m := <-got:
		id := span.SpanContext().TraceID().String()
		if trace := m.Trace.Get("traceparent"); trace == "" || strings.Contains(trace, id) {
			t.Errorf("the message has the trace %q, want one of its own, not %s", trace, id)
		}
	case <-time.After(time.Minute):
		t.Error("nothing came within a minute")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// tenantOnly is baggage, but of what leaves the member "tenant" alone.
type tenantOnly struct{ propagation.Baggage }

func (p tenantOnly) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	b, err := baggage.New()
	if m := baggage.FromContext(ctx).Member("tenant"); err == nil && m.Key() != "" {
		b, _ = b.SetMember(m)
	}
	p.Baggage.Inject(baggage.ContextWithBaggage(ctx, b), c)
}

func storedBaggage(t *testing.T) {
	both := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, tenantOnly{})
	for name, tt := range map[string]struct {
		p       propagation.TextMapPropagator
		pattern string
		rows    int // that match it, of two
	}{
		"ByDefault": {nil, `%baggage%`, 0},
		"Listed":    {both, `%"baggage":"tenant=ann"%`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			db := sqlxtest.SQLite(t)
			box := outbox.New(db, sqlx.SQLite, &outbox.Options{Propagator: tt.p})
			if err := box.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			b, err := baggage.Parse("tenant=ann,card=4711")
			if err != nil {
				t.Fatal(err)
			}
			ctx := baggage.ContextWithBaggage(t.Context(), b)
			err = sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
				passedOn := &pubsub.Message{Trace: driver.AttributesOf(map[string]string{"baggage": "tenant=ann,card=4711"})}
				return box.In(tx).Publish(ctx, "orders", &pubsub.Message{}, passedOn)
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := number(t, db, `SELECT count(*) FROM mainstay_outbox WHERE envelope LIKE '%4711%'`); got != 0 {
				t.Errorf("%d rows hold what is not listed, want none", got)
			}
			got := number(t, db, `SELECT count(*) FROM mainstay_outbox WHERE envelope LIKE $1`, tt.pattern)
			if got != tt.rows {
				t.Errorf("%d rows are like %s, want %d", got, tt.pattern, tt.rows)
			}
		})
	}
}
