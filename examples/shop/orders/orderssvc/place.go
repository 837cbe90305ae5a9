package orderssvc

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/transport"
)

// placeTimeout bounds an order, whatever it waits for: the customer asks again, under the same key.
const placeTimeout = 5 * time.Second

// placeOrder stores the order and its event, or returns the order that the key has made before.
func (s *service) placeOrder(ctx context.Context, req contract.PlaceOrderRequest) (contract.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	if order, err := byKey(ctx, s.db, req); !errors.Is(err, sql.ErrNoRows) {
		return order, err
	}
	user, product, err := s.ask(ctx, req)
	if err != nil {
		return contract.Order{}, err
	}
	order := contract.Order{
		ID:         uuid.NewString(),
		CustomerID: user.ID, SKU: product.GetSku(), Quantity: req.Quantity,
		AmountCents: product.GetPriceCents() * int64(req.Quantity),
		Status:      contract.Accepted,
	}
	err = sqlx.InTx(ctx, s.db, func(ctx context.Context, tx *sql.Tx) error {
		stored, err := insert(ctx, tx, req.IdempotencyKey, order)
		if err != nil {
			return err
		}
		if !stored { // another request with this key was faster: the answer is its order
			order, err = byKey(ctx, tx, req)
			return err
		}
		return contract.OrderCreated.Publish(ctx, s.box.In(tx), contract.OrderCreatedEvent{
			OrderID: order.ID, CustomerID: user.ID, Email: user.Email,
			SKU: order.SKU, Quantity: order.Quantity, AmountCents: order.AmountCents,
		})
	}, nil)
	return order, err
}

// ask asks users who orders, and catalog for what.
func (s *service) ask(ctx context.Context, req contract.PlaceOrderRequest) (contract.User, *contract.Product, error) {
	user, err := contract.GetUser.Call(ctx, s.users, contract.GetUserRequest{ID: req.CustomerID})
	if err != nil {
		return contract.User{}, nil, unknown(err, "/customer_id", "no such customer")
	}
	product, err := s.catalog.GetProduct(ctx, &contract.GetProductRequest{Sku: req.SKU})
	if err != nil {
		return contract.User{}, nil, unknown(err, "/sku", "no such product")
	}
	return user, product, nil
}

// unknown turns the callee's not_found into what it means here: the request names something that does not exist.
func unknown(err error, field, description string) error {
	if transport.AsError(err).Code == transport.NotFound {
		return transport.Invalid(transport.FieldViolation{Field: field, Description: description})
	}
	return err
}

// insert reports whether it stored the order. It does not where the key has an order.
func insert(ctx context.Context, tx *sql.Tx, key string, o contract.Order) (bool, error) {
	res, err := tx.ExecContext(ctx, `
		INSERT INTO orders (id, idempotency_key, customer_id, sku, quantity, amount_cents, status)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (idempotency_key) DO NOTHING`,
		o.ID, key, o.CustomerID, o.SKU, o.Quantity, o.AmountCents, o.Status)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}
