package inbox_test

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
)

type OrderCreatedEvent struct {
	OrderID string `json:"order_id"`
	SKU     string `json:"sku"`
}

// A service takes stock out for each order, once. The example is compiled and not run: it wants a PostgreSQL.
func Example() {
	ctx := context.Background()
	db, err := sqlx.Open(ctx, sqlx.Postgres, "postgres:///inventory", nil)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	orderCreated := pubsub.NewTopic[OrderCreatedEvent]("order.created", nil) // in a contract package
	client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Source: "/inventory"})

	in := inbox.New(db, sqlx.Postgres, nil)
	sub := inbox.Subscribe(in, client, orderCreated, "inventory",
		func(ctx context.Context, tx *sql.Tx, e OrderCreatedEvent) error {
			_, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE sku = $1`, e.SKU)
			return err
		}, nil)
	if err := in.Migrate(ctx); err != nil { // or mainstay.Once(in.Migrate), before sub, in mainstay.Run
		panic(err)
	}
	cleaner := in.Cleaner(30*24*time.Hour, 0) // the record must outlive every copy that may still come
	var wg sync.WaitGroup                     // or mainstay.Run(ctx, nil, sub, cleaner)
	for _, run := range []func(context.Context) error{sub.Run, cleaner.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				panic(err)
			}
		})
	}
	wg.Wait()
}
