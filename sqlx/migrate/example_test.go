package migrate_test

import (
	"context"
	"database/sql"
	"testing/fstest"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/migrate"
)

// In a service the files come from an embed.FS; mainstay.Once(m.Up) runs them before the server starts.
func Example() {
	files := fstest.MapFS{
		"0001_create_orders.sql": {Data: []byte(`CREATE TABLE orders (id BIGINT PRIMARY KEY, placed_at TIMESTAMPTZ NOT NULL)`)},
		"0002_index_orders.sql": {Data: []byte(`-- migrate:no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_placed_at ON orders (placed_at)`)},
	}
	up := func(ctx context.Context, db *sql.DB) error {
		return migrate.New(db, sqlx.Postgres, files, &migrate.Options{Strict: true}).Up(ctx)
	}
	_ = up
}
