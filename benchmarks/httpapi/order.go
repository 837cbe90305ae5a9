package main

// order is the body, with its bounds in the words that the kit and huma share.
type order struct {
	SKU        string   `json:"sku" minLength:"1" maxLength:"40"`
	Quantity   int      `json:"quantity" minimum:"1" maximum:"100"`
	PriceCents int64    `json:"price_cents" minimum:"0" maximum:"100000000"`
	Currency   string   `json:"currency" enum:"EUR,USD,GBP"`
	Name       string   `json:"name" minLength:"1" maxLength:"100"`
	Street     string   `json:"street" minLength:"1" maxLength:"100"`
	City       string   `json:"city" minLength:"1" maxLength:"100"`
	Zip        string   `json:"zip" pattern:"^[0-9]{5}$"`
	Express    bool     `json:"express"`
	Tags       []string `json:"tags" maxItems:"5" maxLength:"20"`
}

// receipt is the answer.
type receipt struct {
	ID         string `json:"id"`
	Customer   string `json:"customer"`
	SKU        string `json:"sku"`
	Quantity   int    `json:"quantity"`
	TotalCents int64  `json:"total_cents"`
	Currency   string `json:"currency"`
	Status     string `json:"status"`
}

const (
	pattern = "POST /customers/{customer}/orders"
	target  = "/customers/c-42/orders"
	maxBody = 1 << 20
	body    = `{"sku":"tea-earl-grey-100g","quantity":2,"price_cents":1799,"currency":"EUR","name":"Ada Lovelace",` +
		`"street":"12 St James's Square","city":"London","zip":"10115","express":true,"tags":["gift","fragile"]}`
)

// place is what all sides do with an order that is valid.
func place(customer, sku string, quantity int, priceCents int64, currency string) receipt {
	return receipt{
		ID: "o-1001", Customer: customer, SKU: sku, Quantity: quantity,
		TotalCents: priceCents * int64(quantity), Currency: currency, Status: "accepted",
	}
}
