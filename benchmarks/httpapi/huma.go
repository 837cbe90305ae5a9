package main

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

type humaInput struct {
	Customer string `path:"customer" maxLength:"40"`
	Body     order
}

type humaOutput struct{ Body receipt }

// humaHandler is huma as its documentation shows it, less the "$schema" that it adds to answers.
func humaHandler() http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("orders", "1.0.0")
	config.CreateHooks = nil
	api := humago.New(mux, config)
	huma.Register(api, huma.Operation{
		Method: http.MethodPost, Path: "/customers/{customer}/orders", DefaultStatus: http.StatusCreated,
	}, func(_ context.Context, in *humaInput) (*humaOutput, error) {
		return &humaOutput{place(in.Customer, in.Body.SKU, in.Body.Quantity, in.Body.PriceCents, in.Body.Currency)}, nil
	})
	return mux
}
