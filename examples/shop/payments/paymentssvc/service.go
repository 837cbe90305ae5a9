// Package paymentssvc is the payments service: it charges the customer of each order whose stock is set aside.
package paymentssvc

import (
	"context"
	"database/sql"
	"embed"
	"log/slog"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
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
		p.Declare(broker, contract.StockReserved, contract.PaymentCharged),
		db.Tidy(),
		db.Relay(broker),
		inbox.Subscribe(db.Inbox, broker, contract.StockReserved, p.Name, s.stockReserved, p.Subscription()),
	}, nil
}

type service struct {
	box *outbox.Outbox
	log *slog.Logger
}

// stockReserved books the charge and says so, or does neither. A charge at a payment provider would not roll back with
// this transaction: it belongs in a handler of its own, with the order's ID as the provider's idempotency key.
func (s *service) stockReserved(ctx context.Context, tx *sql.Tx, e contract.StockReservedEvent) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO charges (order_id, customer_id, amount_cents) VALUES ($1, $2, $3)`,
		e.OrderID, e.CustomerID, e.AmountCents)
	if err != nil {
		return err
	}
	sqlx.AfterCommit(ctx, func() {
		s.log.InfoContext(ctx, "customer is charged", "order", e.OrderID, "amount_cents", e.AmountCents)
	})
	return contract.PaymentCharged.Publish(ctx, s.box.In(tx), contract.PaymentChargedEvent{
		OrderID: e.OrderID, CustomerID: e.CustomerID, Email: e.Email, AmountCents: e.AmountCents,
	})
}
