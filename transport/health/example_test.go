package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/mainstay-go/mainstay/transport/health"
)

func Example() {
	checks := health.New(&health.Options{Logger: slog.New(slog.DiscardHandler)},
		health.Check{Name: "database", Check: func(context.Context) error { return nil }}, // db.PingContext
		health.Check{Name: "broker", Check: func(context.Context) error { return errors.New("no route") }},
	)
	mux := http.NewServeMux()
	mux.Handle("GET /livez", checks.Liveness())
	mux.Handle("GET /readyz", checks.Readiness())
	private := http.NewServeMux() // package admin has one
	private.Handle("GET /readyz", checks.Details())

	for _, ask := range []struct {
		port http.Handler
		path string
	}{{mux, "/livez"}, {mux, "/readyz"}, {private, "/readyz"}} {
		rec := httptest.NewRecorder()
		ask.port.ServeHTTP(rec, httptest.NewRequest("GET", ask.path, nil))
		fmt.Print(rec.Code, " ", rec.Body)
	}
	// Output:
	// 200 {"status":"ok"}
	// 503 {"status":"unavailable"}
	// 503 {"status":"unavailable","checks":{"broker":"failing","database":"ok"}}
}
