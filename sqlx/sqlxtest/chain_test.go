package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// order is the event of TestChain.
type order struct {
	ID string `json:"id"`
}

var (
	placed   = pubsub.NewTopic("order.placed", &pubsub.TopicOptions[order]{Key: func(o order) string { return o.ID }})
	reserved = pubsub.NewTopic("stock.reserved", &pubsub.TopicOptions[order]{Key: func(o order) string { return o.ID }})
)

// twice is a broker connection that sends everything again, as after a lost answer.
type twice struct{ next pubsub.Publisher }

func (p twice) Publish(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	return errors.Join(p.next.Publish(ctx, topic, ms...), p.next.Publish(ctx, topic, ms...))
}

// TestChain: outbox, relay, broker, inbox, outbox, relay, broker, inbox. Every message is sent twice, every handler
// fails once, and each effect happens once, under the trace and the correlation ID of the request that began it.
func TestChain(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		in := inbox.New(db, d, &inbox.Options{Registerer: prometheus.NewRegistry()})
		if err := in.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		box := newBox(t, db, d)
		mustExec(t, db, `CREATE TABLE work (what TEXT NOT NULL)`)
		tp := sdktrace.NewTracerProvider()
		var mem mempubsub.Broker
		client := pubsub.NewClient(&mem, &pubsub.Options{
			Registerer: prometheus.NewRegistry(), TracerProvider: tp, Logger: slog.New(slog.DiscardHandler),
		})
		retry := &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}}

		var failed sync.Map
		var mu sync.Mutex
		hops := map[string][]string{} // by order: "trace correlation" at the last hop
		reserve := inbox.Subscribe(in, client, placed, "inventory", func(ctx context.Context, tx *sql.Tx, o order) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO work VALUES ($1)`, "reserve "+o.ID); err != nil {
				return err
			}
			if err := reserved.Publish(ctx, box.In(tx), o); err != nil {
				return err
			}
			if _, again := failed.LoadOrStore("reserve "+o.ID, true); !again {
				return errors.New("not yet")
			}
			return nil
		}, retry)
		notify := inbox.Subscribe(in, client, reserved, "mail", func(ctx context.Context, tx *sql.Tx, o order) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO work VALUES ($1)`, "notify "+o.ID); err != nil {
				return err
			}
			sqlx.AfterCommit(ctx, func() {
				mu.Lock()
				defer mu.Unlock()
				hops[o.ID] = append(hops[o.ID], trace.SpanContextFromContext(ctx).TraceID().String()+" "+correlation.FromContext(ctx))
			})
			return nil
		}, retry)
		run(t, reserve)
		run(t, notify)
		<-reserve.Ready()
		<-notify.Ready()
		relay(t, box, twice{client}, nil)

		const n = 20
		want := map[string]string{}
		for i := range n {
			o := order{ID: fmt.Sprint(i)}
			ctx, span := tp.Tracer("").Start(correlation.NewContext(t.Context(), "corr-"+o.ID), "request")
			want[o.ID] = span.SpanContext().TraceID().String() + " corr-" + o.ID
			err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
				return placed.Publish(ctx, box.In(tx), o)
			}, nil)
			span.End()
			if err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, func() bool { return number(t, db, `SELECT count(*) FROM mainstay_inbox`) == 2*n })
		empty(t, db)
		if got := number(t, db, `SELECT count(*) FROM work`); got != 2*n {
			t.Errorf("%d effects, want %d", got, 2*n)
		}
		if got := number(t, db, `SELECT count(DISTINCT what) FROM work`); got != 2*n {
			t.Errorf("%d distinct effects, want %d", got, 2*n)
		}
		eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(hops) == n })
		mu.Lock()
		defer mu.Unlock()
		for id, w := range want {
			if len(hops[id]) != 1 || hops[id][0] != w {
				t.Errorf("order %s ended under %q, want once, under %q", id, hops[id], w)
			}
		}
	})
}

// run runs a subscription until the test ends.
func run(t *testing.T, s *pubsub.Subscription) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}
