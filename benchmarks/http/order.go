package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

// What both sides agree on: who makes tokens, for whom, and what they must allow.
const (
	issuerName = "shop"
	audience   = "orders"
	scope      = "orders:write"
	keyID      = "2026-10"
	secret     = "0123456789abcdef0123456789abcdef" // of a benchmark, on loopback
	leeway     = 30 * time.Second
	maxBody    = 1 << 20
)

// order is what both sides answer.
type order struct {
	ID          string `json:"id"`
	CustomerID  string `json:"customer_id"`
	SKU         string `json:"sku"`
	Quantity    int    `json:"quantity"`
	AmountCents int64  `json:"amount_cents"`
	Status      string `json:"status"`
}

// errQuantity is what both sides find wrong with a request.
var errQuantity = errors.New("quantity must be 1 to 100")

// place is the business of both sides: next to nothing, so that what surrounds it is measured. It panics at the SKU
// "panic", for the tests.
func place(_ context.Context, customer, key, sku string, quantity int) order {
	if sku == "panic" {
		panic("out of tea")
	}
	return order{
		ID: "order-" + key, CustomerID: customer, SKU: sku, Quantity: quantity,
		AmountCents: int64(quantity) * 1250, Status: "accepted",
	}
}

// telemetry is where a side's spans, metrics and log lines go.
type telemetry struct {
	tracer  *sdktrace.TracerProvider
	metrics *prometheus.Registry
	logs    io.Writer
}

// discarded makes everything in full, and throws it away: exporters are nobody's here.
func discarded() telemetry { return newTelemetry(drop{}, io.Discard) }

// oneInTen keeps a tenth of the traces that begin here, as a busy service does.
func oneInTen() telemetry {
	t := discarded()
	t.tracer = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(sampleRatio))), sdktrace.WithSpanProcessor(drop{}))
	return t
}

// newTelemetry keeps a trace where its caller does.
func newTelemetry(spans sdktrace.SpanProcessor, logs io.Writer) telemetry {
	return telemetry{
		tracer: sdktrace.NewTracerProvider(
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())), sdktrace.WithSpanProcessor(spans)),
		metrics: prometheus.NewRegistry(),
		logs:    logs,
	}
}

// drop is a span processor without an exporter.
type drop struct{}

func (drop) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (drop) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (drop) Shutdown(context.Context) error                  { return nil }
func (drop) ForceFlush(context.Context) error                { return nil }

// The request, as another service sends it.
const (
	body        = `{"sku":"tea-earl-grey-100g","quantity":2,"gift_note":"Happy birthday, and see you in spring!"}`
	sampled     = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	correlation = "019b2f7e-7d4c-7aa1-b1a5-5b9c7f0e4d21"
)

// newRequest returns the hot request; its body can be read once.
func newRequest(base, token, traceparent string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, base+"/customers/alice/orders",
		strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "7f4c9a")
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Traceparent", traceparent)
	r.Header.Set("X-Request-Id", correlation)
	r.Header.Set("User-Agent", "benchmark/1.0")
	r.RemoteAddr = "127.0.0.1:51234"
	return r, nil
}

// signingKey is shared by who mints tokens and who checks them.
func signingKey() (jwt.Key, error) { return jwt.HS256(keyID, []byte(secret)) }

// newToken returns a token that both sides accept. It outlives any run.
func newToken(scopes ...string) (string, error) {
	key, err := signingKey()
	if err != nil {
		return "", err
	}
	issuer, err := jwt.NewIssuer(&jwt.IssuerOptions{
		Issuer: issuerName, Subject: "checkout", Key: key, Scopes: scopes, Lifetime: time.Hour,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", err
	}
	token, err := issuer.Token(context.Background(), audience)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return token, nil
}
