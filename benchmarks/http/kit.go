package main

import (
	"context"
	"net/http"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

type placeOrder struct {
	Customer       string `path:"customer"`
	IdempotencyKey string `header:"Idempotency-Key" api:"required"`
	SKU            string `json:"sku" api:"required"`
	Quantity       int    `json:"quantity" api:"required"`
}

func (r placeOrder) Validate() error {
	if r.Quantity < 1 || r.Quantity > 100 {
		return errQuantity
	}
	return nil
}

// kitMux is the shop's endpoint as a contract.
func kitMux() http.Handler {
	endpoint := httpapi.NewEndpoint[placeOrder, order]("POST /customers/{customer}/orders", &httpapi.EndpointOptions{
		Scopes: []string{scope}, Status: http.StatusCreated,
	})
	mux := http.NewServeMux()
	httpapi.Handle(mux, endpoint, func(ctx context.Context, r placeOrder) (order, error) {
		return place(ctx, r.Customer, r.IdempotencyKey, r.SKU, r.Quantity), nil
	})
	return mux
}

func kitVerifier() (auth.Verifier, error) {
	key, err := signingKey()
	if err != nil {
		return nil, err
	}
	return jwt.NewVerifier(&jwt.VerifierOptions{
		Keys: []jwt.Key{key}, Issuer: issuerName, Audience: audience, Leeway: leeway,
	})
}

// kitHandler is the kit inside somebody's own http.Server.
func kitHandler(t telemetry) (http.Handler, error) {
	verifier, err := kitVerifier()
	if err != nil {
		return nil, err
	}
	return kitObserve(t)(httpserver.Authenticate(verifier, nil)(kitMux())), nil
}

// kitServer is the kit as its documentation shows it.
func kitServer(mux http.Handler) func(telemetry) (server, error) {
	return func(t telemetry) (server, error) {
		verifier, err := kitVerifier()
		if err != nil {
			return nil, err
		}
		return httpserver.New(mux, &httpserver.Options{
			Addr: "127.0.0.1:0", Verifier: verifier, MaxBody: maxBody,
			Logger: logging.New(t.logs, nil), TracerProvider: t.tracer, Registerer: t.metrics,
		}), nil
	}
}
