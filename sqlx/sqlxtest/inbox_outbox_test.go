package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

type shipped struct {
	Order string `json:"order"`
}

// TestInboxWithOutbox has every message come twice, and every handler fail once after it has published. Its event
// leaves once, and tells what caused it.
func TestInboxWithOutbox(t *testing.T) { eachInbox(t, oneEventLeaves) }

func oneEventLeaves(b *inboxBench) {
	const n = 20
	tp := sdktrace.NewTracerProvider()
	broker := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{DuplicateRatio: 1})
	client := pubsub.NewClient(broker, &pubsub.Options{
		Source: "/test", Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), TracerProvider: tp,
	})
	box := outbox.New(b.db, dialectOf(b), nil)
	if err := box.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	shipments, o, failed := pubsub.NewTopic[shipped]("shipments", nil), newOutcomes(), map[string]bool{}
	options := o.options()
	options.Concurrency = 1 // failed has one user at a time
	stop := start(b.T, inbox.Subscribe(b.in, client, payments(), "shipping",
		func(ctx context.Context, tx *sql.Tx, e paid) error {
			if err := shipments.Publish(ctx, box.In(tx), shipped{e.Order}); err != nil {
				return err
			}
			if !failed[e.Order] {
				failed[e.Order] = true
				return errors.New("after the event")
			}
			return effect(ctx, tx, "shipping", e.Order)
		}, options))
	defer stop()
	causes := map[string]trace.TraceID{}
	for i := range n {
		m, err := payments().Message(paid{Order: fmt.Sprint(i)})
		if err != nil {
			b.Fatal(err)
		}
		m.CorrelationID = "order-" + fmt.Sprint(i)
		ctx, span := tp.Tracer("").Start(b.Context(), "pay")
		causes[m.ID+m.CorrelationID] = span.SpanContext().TraceID()
		if err := client.Publish(ctx, "payments", m); err != nil {
			b.Fatal(err)
		}
		span.End()
	}
	o.await(b.T, func() int { return 2 * n })
	stop()
	b.wantRows(n, n)
	if got := b.count("mainstay_outbox"); got != n {
		b.Errorf("%d events wait to leave, want %d: one for each transaction that committed", got, n)
	}
	b.wantEvents(box, client, causes)
}

// wantEvents relays what waits and wants one event for each cause (message ID and correlation ID), in its trace.
func (b *inboxBench) wantEvents(box *outbox.Outbox, client *pubsub.Client, causes map[string]trace.TraceID) {
	b.Helper()
	events := make(chan *pubsub.Message, 10*len(causes))
	ctx, cancel := context.WithCancel(b.Context())
	relayed := make(chan error, 1)
	stop := start(b.T, client.Subscribe("shipments", "watch", func(_ context.Context, m *pubsub.Message) error {
		events <- m
		return nil
	}, nil))
	go func() {
		relayed <- box.Relay(client, &outbox.RelayOptions{Registerer: b.reg, Logger: slog.New(slog.DiscardHandler)}).Run(ctx)
	}()
	ids := map[string]bool{}
	for range 2 * len(causes) { // this broker delivers everything twice
		m := <-events
		ids[m.ID] = true
		cause := m.CausationID + m.CorrelationID
		parent := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier(m.Trace.Map()))
		if got, want := trace.SpanContextFromContext(parent).TraceID(), causes[cause]; got != want || !want.IsValid() {
			b.Errorf("event %s of %s belongs to trace %v, want %v", m.ID, cause, got, want)
		}
	}
	cancel()
	stop()
	if err := <-relayed; err != nil {
		b.Error(err)
	}
	if len(ids) != len(causes) || len(events) != 0 || b.count("mainstay_outbox") != 0 {
		b.Errorf("%d events, %d more, and %d left, want %d, 0, 0",
			len(ids), len(events), b.count("mainstay_outbox"), len(causes))
	}
}
