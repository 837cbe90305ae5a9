package orderssvc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/transport"
)

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const selectOrder = `SELECT id, customer_id, sku, quantity, amount_cents, status FROM orders `

func scan(row *sql.Row) (contract.Order, error) {
	var o contract.Order
	err := row.Scan(&o.ID, &o.CustomerID, &o.SKU, &o.Quantity, &o.AmountCents, &o.Status)
	return o, err
}

// byKey returns the order that req's key has made, sql.ErrNoRows where it has made none.
func byKey(ctx context.Context, q querier, req contract.PlaceOrderRequest) (contract.Order, error) {
	o, err := scan(q.QueryRowContext(ctx, selectOrder+`WHERE idempotency_key = $1`, req.IdempotencyKey))
	if err != nil {
		return contract.Order{}, err
	}
	if o.CustomerID != req.CustomerID || o.SKU != req.SKU || o.Quantity != req.Quantity {
		return contract.Order{}, transport.Errorf(transport.AlreadyExists, "the Idempotency-Key belongs to another order")
	}
	return o, nil
}

func (s *service) getOrder(ctx context.Context, req contract.GetOrderRequest) (contract.Order, error) {
	o, err := scan(s.db.QueryRowContext(ctx, selectOrder+`WHERE id = $1`, req.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return contract.Order{}, transport.Errorf(transport.NotFound, "no order %q", req.ID)
	}
	return o, err
}

// paymentCharged marks the order as paid. An order that is not there was never accepted here: trying again would not
// bring it.
func (s *service) paymentCharged(ctx context.Context, tx *sql.Tx, e contract.PaymentChargedEvent) error {
	res, err := tx.ExecContext(ctx, `UPDATE orders SET status = $1 WHERE id = $2`, contract.Paid, e.OrderID)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return resilience.Permanent(fmt.Errorf("no order %q", e.OrderID))
	}
	sqlx.AfterCommit(ctx, func() { s.log.InfoContext(ctx, "order is paid", "order", e.OrderID) })
	return nil
}
