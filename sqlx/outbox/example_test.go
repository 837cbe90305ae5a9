package outbox_test

import (
	"context"
	"database/sql"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

type order struct {
	ID string `json:"id"`
}

var orderCreated = pubsub.NewTopic("order.created", &pubsub.TopicOptions[order]{
	Key: func(o order) string { return o.ID },
})

// The order and its event are stored by one transaction; a relay of any replica sends the event.
func Example() {
	var db *sql.DB // from sqlx.Open
	box := outbox.New(db, sqlx.Postgres, nil)

	create := func(ctx context.Context, o order) error {
		return sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id) VALUES ($1)`, o.ID); err != nil {
				return err
			}
			return orderCreated.Publish(ctx, box.In(tx), o)
		}, nil)
	}
	run := func(ctx context.Context, client *pubsub.Client) error {
		if err := box.Migrate(ctx); err != nil { // or mainstay.Once(box.Migrate), before the relay, in mainstay.Run
			return err
		}
		return box.Relay(client, nil).Run(ctx)
	}
	_, _ = create, run
}
