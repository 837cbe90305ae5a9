// Package notificationssvc is the notifications service: it tells each customer that the order is paid.
package notificationssvc

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"log/slog"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
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
	s := &service{log: p.Logger}
	return []mainstay.Runner{
		db.Migrate(db.Inbox.Migrate),
		p.Declare(broker, contract.PaymentCharged),
		db.Tidy(),
		inbox.Subscribe(db.Inbox, broker, contract.PaymentCharged, p.Name, s.paymentCharged, p.Subscription()),
	}, nil
}

type service struct{ log *slog.Logger }

// paymentCharged writes the letter into the table from which a mailer would send it.
func (s *service) paymentCharged(ctx context.Context, tx *sql.Tx, e contract.PaymentChargedEvent) error {
	text := fmt.Sprintf("Your order %s is paid: %d.%02d EUR.", e.OrderID, e.AmountCents/100, e.AmountCents%100)
	_, err := tx.ExecContext(ctx, `INSERT INTO notifications (order_id, email, text) VALUES ($1, $2, $3)`,
		e.OrderID, e.Email, text)
	if err != nil {
		return err
	}
	sqlx.AfterCommit(ctx, func() {
		s.log.InfoContext(ctx, "customer is notified", "order", e.OrderID)
	})
	return nil
}
