package contract

import (
	"net/http"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// MaxQuantity bounds how many of one product an order may ask for.
const MaxQuantity = 100

// Bounds of what a customer and a product are called, in bytes: more than any of the shop's own needs, and little
// enough to be stored by every service and carried by every event of the order.
const (
	MaxCustomerIDBytes = 100
	MaxSKUBytes        = 100
)

// PlaceOrder accepts an order and returns it. It is safe to send again: one Idempotency-Key makes one order, and the
// same key returns that order; with another body it is already_exists. An unknown user or product is invalid_argument.
// It is the shop's edge, so it asks for no token.
var PlaceOrder = httpapi.NewEndpoint[PlaceOrderRequest, Order]("POST /orders", &httpapi.EndpointOptions{
	Access: transport.Public,
	Status: http.StatusCreated,
})

// GetOrder returns one order. An unknown ID is not_found. It is the shop's edge, so it asks for no token.
var GetOrder = httpapi.NewEndpoint[GetOrderRequest, Order]("GET /orders/{id}", &httpapi.EndpointOptions{
	Access: transport.Public,
})

// PlaceOrderRequest asks for some of one product.
type PlaceOrderRequest struct {
	// IdempotencyKey is the client's own name for this order, 1 to 200 bytes, the same at every try.
	IdempotencyKey string `header:"Idempotency-Key" api:"required"`
	// CustomerID is 1 to [MaxCustomerIDBytes] bytes.
	CustomerID string `json:"customer_id" api:"required"`
	// SKU is 1 to [MaxSKUBytes] bytes.
	SKU string `json:"sku" api:"required"`
	// Quantity is 1 to [MaxQuantity].
	Quantity int `json:"quantity" api:"required"`
}

// Validate reports what the fields' types and tags cannot say.
func (r PlaceOrderRequest) Validate() error {
	var bad []transport.FieldViolation
	if len(r.IdempotencyKey) > 200 {
		bad = append(bad, transport.FieldViolation{Field: "Idempotency-Key", Description: "must be at most 200 bytes"})
	}
	if len(r.CustomerID) > MaxCustomerIDBytes {
		bad = append(bad, transport.FieldViolation{Field: "customer_id", Description: "must be at most 100 bytes"})
	}
	if len(r.SKU) > MaxSKUBytes {
		bad = append(bad, transport.FieldViolation{Field: "sku", Description: "must be at most 100 bytes"})
	}
	if r.Quantity < 1 || r.Quantity > MaxQuantity {
		bad = append(bad, transport.FieldViolation{Field: "quantity", Description: "must be 1 to 100"})
	}
	if bad != nil {
		return transport.Invalid(bad...)
	}
	return nil
}

// GetOrderRequest names the order.
type GetOrderRequest struct {
	ID string `path:"id"`
}

// OrderStatus says how far an order has come.
type OrderStatus string

// The statuses, in the order in which they follow each other.
const (
	Accepted OrderStatus = "accepted" // stored, and its OrderCreated is on its way
	Paid     OrderStatus = "paid"     // stock is reserved and the customer is charged
)

// Order is an order as its customer sees it.
type Order struct {
	ID          string      `json:"id"`
	CustomerID  string      `json:"customer_id"`
	SKU         string      `json:"sku"`
	Quantity    int         `json:"quantity"`
	AmountCents int64       `json:"amount_cents"`
	Status      OrderStatus `json:"status"`
}
