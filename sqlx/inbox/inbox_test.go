package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type event struct{ ID string }

func handle(context.Context, *sql.Tx, event) error { return nil }

func handleMessage(context.Context, *sql.Tx, *pubsub.Message) error { return nil }

func newClient() *pubsub.Client {
	return pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: prometheus.NewRegistry()})
}

// What is wrong at the start is said at the start, with its reason, and dead-letters nothing.
func TestBadSetUpIsReported(t *testing.T) {
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "mainstay_inbox_duplicates_total", Help: "another"}))
	for name, tt := range map[string]struct {
		d    sqlx.Dialect
		o    inbox.Options
		want string
	}{
		"Dialect":        {0, inbox.Options{}, "dialect(0)"},
		"Table":          {sqlx.Postgres, inbox.Options{Table: "inbox; DROP TABLE orders"}, `"inbox; DROP TABLE orders"`},
		"TableInCapital": {sqlx.Postgres, inbox.Options{Table: "Inbox"}, `"Inbox"`},
		"TableTooLong":   {sqlx.Postgres, inbox.Options{Table: strings.Repeat("t", 38)}, "37"},
		"TableOfDots":    {sqlx.Postgres, inbox.Options{Table: "a.b.c"}, `"a.b.c"`},
		"SQLiteSchema":   {sqlx.SQLite, inbox.Options{Table: "app.inbox"}, `"app.inbox"`},
		"Registerer":     {sqlx.SQLite, inbox.Options{Registerer: taken}, "mainstay_inbox_duplicates_total"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.o.Registerer == nil {
				tt.o.Registerer = prometheus.NewRegistry()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // of a Run that does not refuse
			defer cancel()
			in := inbox.New(nil, tt.d, &tt.o)
			_, prune := in.Prune(ctx, time.Hour)
			topic := pubsub.NewTopic[event]("events", nil)
			for what, err := range map[string]error{
				"Migrate": in.Migrate(ctx),
				"Prune":   prune,
				"Handler": in.Handler("billing", handleMessage)(ctx, &pubsub.Message{ID: "1"}),
				"Run":     inbox.Subscribe(in, newClient(), topic, "billing", handle, nil).Run(ctx),
			} {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s = %v, want an error with %s", what, err, tt.want)
				}
				if what == "Handler" && resilience.IsPermanent(err) {
					t.Errorf("%s = %v is permanent: a good message would be dead-lettered at once", what, err)
				}
			}
		})
	}
}

func TestBadArgumentsAreReported(t *testing.T) {
	in := inbox.New(nil, sqlx.Postgres, &inbox.Options{Registerer: prometheus.NewRegistry()})
	topic, bad := pubsub.NewTopic[event]("events", nil), pubsub.NewTopic[event]("\xff", nil)
	for name, sub := range map[string]*pubsub.Subscription{
		"NilHandler":      inbox.Subscribe(in, newClient(), topic, "billing", nil, nil),
		"NilPlainHandler": newClient().Subscribe("events", "billing", in.Handler("billing", nil), nil),
		"Name":            inbox.Subscribe(in, newClient(), topic, "", handle, nil),
		"Topic":           inbox.Subscribe(in, newClient(), bad, "billing", handle, nil),
	} {
		var invalid *pubsub.InvalidError
		if err := sub.Run(t.Context()); !errors.As(err, &invalid) {
			t.Errorf("%s: Run = %v, want a *pubsub.InvalidError", name, err)
		}
	}
	// No name would make one record of all handlers without one.
	if err := in.Handler("", handleMessage)(t.Context(), &pubsub.Message{ID: "1"}); err == nil {
		t.Error("a handler without a name = nil, want an error")
	}
}
