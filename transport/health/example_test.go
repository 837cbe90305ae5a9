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

	for _, path := range []string{"/livez", "/readyz"} {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		fmt.Print(rec.Code, " ", rec.Body)
	}
	// Output:
	// 200 {"status":"ok"}
	// 503 {"status":"unavailable","checks":{"broker":"failing","database":"ok"}}
}
