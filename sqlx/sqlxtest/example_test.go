package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

type signup struct {
	Name string `json:"name"`
}

// Of two transactions one is rolled back: its row is gone, and its event with it.
func Example_outbox() {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqlx.Open(ctx, sqlx.SQLite, ":memory:", &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	box := outbox.New(db, sqlx.SQLite, &outbox.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := box.Migrate(ctx); err != nil {
		panic(err)
	}

	signups := pubsub.NewTopic[signup]("signups", nil)
	register := func(name string) error {
		return sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			if err := signups.Publish(ctx, box.In(tx), signup{name}); err != nil {
				return err
			}
			if name == "root" {
				return errors.New("reserved name")
			}
			return nil
		}, nil)
	}
	fmt.Println("root:", register("root"))
	fmt.Println("ann:", register("ann"))

	// A pubsub.Client in a service.
	broker := publisherFunc(func(_ context.Context, topic string, ms ...*pubsub.Message) error {
		for _, m := range ms {
			fmt.Printf("%s %s\n", topic, m.Data)
		}
		cancel()
		return nil
	})
	relay := box.Relay(broker, &outbox.RelayOptions{Registerer: prometheus.NewRegistry()})
	fmt.Println("relay:", relay.Run(ctx))
	// Output:
	// root: reserved name
	// ann: <nil>
	// signups {"name":"ann"}
	// relay: <nil>
}
