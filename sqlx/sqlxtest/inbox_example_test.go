package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
)

// A message comes twice, as messages do, and the stock goes down once.
func Example_inbox() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "inbox")
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	db, err := sqlx.Open(ctx, sqlx.SQLite, "file:"+filepath.Join(dir, "inventory.db"),
		&sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	in := inbox.New(db, sqlx.SQLite, &inbox.Options{Registerer: prometheus.NewRegistry(), Logger: quiet})
	if err := in.Migrate(ctx); err != nil {
		fmt.Println(err)
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE stock (free INT); INSERT INTO stock VALUES (10)`); err != nil {
		fmt.Println(err)
	}

	handler := in.Handler("inventory", func(ctx context.Context, tx *sql.Tx, m *pubsub.Message) error {
		fmt.Println("handle", m.ID)
		_, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1`)
		return err
	})
	for range 2 { // what client.Subscribe("order.created", "inventory", handler, nil) does
		fmt.Println("acknowledge:", handler(ctx, &pubsub.Message{ID: "m-1", Topic: "order.created"}) == nil)
	}

	var free int
	err = db.QueryRowContext(ctx, `SELECT free FROM stock`).Scan(&free)
	fmt.Println("free:", free, err)
	// Output:
	// handle m-1
	// acknowledge: true
	// acknowledge: true
	// free: 9 <nil>
}

// A batch of orders, one of which is broken: the others are handled, in one transaction.
func Example_inboxBatch() {
	ctx := context.Background()
	db, err := sqlx.Open(ctx, sqlx.SQLite, ":memory:", &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	in := inbox.New(db, sqlx.SQLite, &inbox.Options{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err := in.Migrate(ctx); err != nil {
		panic(err)
	}
	handler := in.BatchHandler("inventory", func(ctx context.Context, tx *sql.Tx, ms []*pubsub.Message) error {
		failed := map[int]error{}
		for i, m := range ms {
			if len(m.Data) == 0 {
				failed[i] = errors.New("no data")
			}
		}
		if len(failed) > 0 {
			return &pubsub.BatchError{Failed: failed} // the others come again, without these
		}
		fmt.Println("handle", len(ms))
		return nil
	})
	ms := []*pubsub.Message{
		{ID: "m-1", Topic: "order.created", Data: []byte("a mug")},
		{ID: "m-2", Topic: "order.created"},
		{ID: "m-3", Topic: "order.created", Data: []byte("a cup")},
	}
	for range 2 { // what client.SubscribeBatch("order.created", "inventory", handler, nil) does
		fmt.Println(handler(ctx, ms))
	}
	// Output:
	// handle 2
	// 1 messages of a batch failed, the first at index 1: no data
	// 1 messages of a batch failed, the first at index 1: no data
}
