package contract

import "github.com/mainstay-go/mainstay/pubsub"

// OrderCreated is published by orders when an order is stored, in the same transaction. Like every topic here it is
// keyed by the order's ID, so that the events of one order stay in order.
var OrderCreated = pubsub.NewTopic("order.created", &pubsub.TopicOptions[OrderCreatedEvent]{
	Key: func(e OrderCreatedEvent) string { return e.OrderID },
})

// StockReserved is published by inventory when the stock of an order is set aside.
var StockReserved = pubsub.NewTopic("stock.reserved", &pubsub.TopicOptions[StockReservedEvent]{
	Key: func(e StockReservedEvent) string { return e.OrderID },
})

// PaymentCharged is published by payments when the customer of an order has been charged.
var PaymentCharged = pubsub.NewTopic("payment.charged", &pubsub.TopicOptions[PaymentChargedEvent]{
	Key: func(e PaymentChargedEvent) string { return e.OrderID },
})

// OrderCreatedEvent carries all that the services after orders need, so that none of them calls back.
type OrderCreatedEvent struct {
	OrderID     string `json:"order_id"`
	CustomerID  string `json:"customer_id"`
	Email       string `json:"email"`
	SKU         string `json:"sku"`
	Quantity    int    `json:"quantity"`
	AmountCents int64  `json:"amount_cents"`
}

// StockReservedEvent says that Quantity of SKU wait for the order.
type StockReservedEvent struct {
	OrderID     string `json:"order_id"`
	CustomerID  string `json:"customer_id"`
	Email       string `json:"email"`
	SKU         string `json:"sku"`
	Quantity    int    `json:"quantity"`
	AmountCents int64  `json:"amount_cents"`
}

// PaymentChargedEvent says that the order is paid.
type PaymentChargedEvent struct {
	OrderID     string `json:"order_id"`
	CustomerID  string `json:"customer_id"`
	Email       string `json:"email"`
	AmountCents int64  `json:"amount_cents"`
}
