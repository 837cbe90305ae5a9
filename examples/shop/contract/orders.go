package contract

import (
	"net/http"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
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

// PlaceOrderRequest asks for some of one product. Customer and product have names that every service can store and
// every event of the order can carry.
type PlaceOrderRequest struct {
	// IdempotencyKey is the client's own name for this order, the same at every try.
	IdempotencyKey string `header:"Idempotency-Key" api:"required" maxLength:"200"`
	CustomerID     string `json:"customer_id" api:"required" maxLength:"100"`
	SKU            string `json:"sku" api:"required" maxLength:"100"`
	Quantity       int    `json:"quantity" api:"required" minimum:"1" maximum:"100"`
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
