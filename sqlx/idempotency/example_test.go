package idempotency_test

import (
	"context"
	"database/sql"
	"net/http"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type CreateOrderRequest struct {
	Item string `json:"item"`
}

type Order struct {
	ID int64 `json:"id"`
}

// A service takes orders, each once, and calls a bank for refunds, under a lease. The example is compiled and not run:
// it wants a PostgreSQL. One that runs is in package sqlxtest.
func Example() {
	ctx := context.Background()
	db, err := sqlx.Open(ctx, sqlx.Postgres, "postgres:///orders", nil)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	createOrder := httpapi.NewEndpoint[CreateOrderRequest, Order]("POST /orders", nil) // in a contract package

	keys := idempotency.New(db, sqlx.Postgres, nil)
	if err := keys.Migrate(ctx); err != nil { // or mainstay.Once(keys.Migrate), in mainstay.Run
		panic(err)
	}
	mux := http.NewServeMux()
	idempotency.Handle(keys, mux, createOrder,
		func(ctx context.Context, tx *sql.Tx, req CreateOrderRequest) (o Order, err error) {
			err = tx.QueryRowContext(ctx, `INSERT INTO orders (item) VALUES ($1) RETURNING id`, req.Item).Scan(&o.ID)
			return o, err
		})
	refund := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The bank is told the key too: what calls for an effect elsewhere hands its own key on.
		w.WriteHeader(http.StatusAccepted)
	})
	mux.Handle("POST /refunds", keys.Middleware(refund))
	go func() { _ = keys.Cleaner(0).Run(ctx) }() // mainstay.Run runs it beside the server
	_ = http.ListenAndServe(":8080", mux)        // an httpserver.Server, which authenticates
}
