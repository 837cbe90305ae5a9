package main

import (
	"context"
	"net/http"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// placeOrder is a parameter and the fields of order.
type placeOrder struct {
	Customer   string   `path:"customer" maxLength:"40"`
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

// kitHandler is the kit as its documentation shows it.
func kitHandler() http.Handler {
	endpoint := httpapi.NewEndpoint[placeOrder, receipt](pattern, &httpapi.EndpointOptions{
		Access: transport.Public, Status: http.StatusCreated,
	})
	mux := http.NewServeMux()
	httpapi.Handle(mux, endpoint, func(_ context.Context, r placeOrder) (receipt, error) {
		return place(r.Customer, r.SKU, r.Quantity, r.PriceCents, r.Currency), nil
	})
	return mux
}
