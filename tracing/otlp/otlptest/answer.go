package otlptest

import (
	"context"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Answer says what becomes of an export: the response is sent and the spans are kept, or the error is sent and they are
// not. The context ends when the client goes or the [Receiver] is closed, and an Answer returns then: both wait for it.
type Answer func(context.Context) (*collector.ExportTraceServiceResponse, error)

// Hang is the [Answer] of a collector that never answers.
func Hang(ctx context.Context) (*collector.ExportTraceServiceResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Reject returns the [Answer] of a collector that refuses with a code. Over HTTP that is the status 503 for
// Unavailable, 429 for ResourceExhausted, and 400 for the others: of these, OTLP/HTTP has clients repeat the first two.
func Reject(code codes.Code) Answer {
	return func(context.Context) (*collector.ExportTraceServiceResponse, error) {
		return nil, status.Error(code, "otlptest: rejected")
	}
}
