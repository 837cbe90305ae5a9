// Package inventorysvc is the inventory service: it sets the stock of each order aside.
package inventorysvc

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"log/slog"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

//go:embed migrations
var migrations embed.FS

// New wires the service.
func New(ctx context.Context, p *platform.Platform) ([]mainstay.Runner, error) {
	db, err := p.OpenDB(ctx, migrations)
	if err != nil {
		return nil, err
	}
	broker, err := p.Connect()
	if err != nil {
		return nil, err
	}
	s := &service{box: db.Outbox, log: p.Logger}
	return []mainstay.Runner{
		db.Migrate(db.Outbox.Migrate, db.Inbox.Migrate),
		p.Declare(broker, contract.OrderCreated, contract.StockReserved),
		db.Tidy(),
		db.Relay(broker),
		inbox.Subscribe(db.Inbox, broker, contract.OrderCreated, p.Name, s.orderCreated, p.Subscription()),
	}, nil
}

type service struct {
	box *outbox.Outbox
	log *slog.Logger
}

// orderCreated sets the stock aside and says so, or does neither.
func (s *service) orderCreated(ctx context.Context, tx *sql.Tx, e contract.OrderCreatedEvent) error {
	res, err := tx.ExecContext(ctx, `UPDATE stock SET on_hand = on_hand - $1 WHERE sku = $2`, e.Quantity, e.SKU)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return resilience.Permanent(fmt.Errorf("no stock of %q", e.SKU))
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO reservations (order_id, sku, quantity) VALUES ($1, $2, $3)`,
		e.OrderID, e.SKU, e.Quantity)
	if err != nil {
		return err
	}
	sqlx.AfterCommit(ctx, func() {
		s.log.InfoContext(ctx, "stock is set aside", "order", e.OrderID, "sku", e.SKU, "quantity", e.Quantity)
	})
	return contract.StockReserved.Publish(ctx, s.box.In(tx), contract.StockReservedEvent(e))
}
