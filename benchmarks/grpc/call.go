package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

// What both sides agree on: who makes tokens, for whom, and what they must allow.
const (
	issuerName = "shop"
	audience   = "orders"
	scope      = "orders:write"
	keyID      = "2026-10"
	secret     = "0123456789abcdef0123456789abcdef" // of a benchmark, in one process
	leeway     = 30 * time.Second
	fixedToken = "a-token-that-is-compared"
)

// The call, as another service makes it.
const (
	sampled     = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	correlation = "019b2f7e-7d4c-7aa1-b1a5-5b9c7f0e4d21"
)

// outgoing returns a context whose calls carry all of it.
func outgoing(ctx context.Context, token, traceparent string) context.Context {
	return metadata.AppendToOutgoingContext(ctx,
		"authorization", "Bearer "+token, "traceparent", traceparent, "x-correlation-id", correlation)
}

// orders is the business of all servers: next to nothing, so that what surrounds it is measured. What it does is in
// the request's payload.
type orders struct {
	testpb.UnimplementedTestServiceServer
}

// UnaryCall answers with the payload, or fails as the payload says.
func (orders) UnaryCall(_ context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	switch string(r.GetPayload().GetBody()) {
	case "panic":
		panic("out of tea")
	case "not found":
		return nil, status.Error(codes.NotFound, "no such tea")
	}
	return &testpb.SimpleResponse{Payload: r.GetPayload()}, nil
}

// telemetry is where a side's spans, metrics and log lines go.
type telemetry struct {
	tracer  *sdktrace.TracerProvider
	metrics *prometheus.Registry
	logs    io.Writer
	// fixed is the one token that is let in, instead of tokens that are verified.
	fixed string
}

// discarded makes everything in full, and throws it away: exporters are nobody's here.
func discarded() telemetry { return newTelemetry(drop{}, io.Discard) }

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
