package rpc

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// Incoming reads the metadata that came with a call, as a propagation.TextMapCarrier. It copies only what is asked for.
type Incoming struct {
	Ctx context.Context //nolint:containedctx // it lives as long as one look-up
}

// Get returns the first value of key, "" where there is none.
func (c Incoming) Get(key string) string {
	if vs := metadata.ValueFromIncomingContext(c.Ctx, key); len(vs) > 0 {
		return vs[0]
	}
	return ""
}

// Values returns all values of key.
func (c Incoming) Values(key string) []string { return metadata.ValueFromIncomingContext(c.Ctx, key) }

// Set does nothing: what came is not changed.
func (c Incoming) Set(string, string) {}

// Keys returns the names that came.
func (c Incoming) Keys() []string {
	md, _ := metadata.FromIncomingContext(c.Ctx)
	keys := make([]string, 0, len(md))
	for k := range md {
		keys = append(keys, k)
	}
	return keys
}

// requestKey is correlation.RequestHeader as metadata has it.
const requestKey = "x-request-id"

// CorrelationID returns the ID of an incoming call by the rules of correlation.FromHeader: the caller's where there is
// exactly one and it is valid, else a new one.
func CorrelationID(ctx context.Context) string {
	ids := metadata.ValueFromIncomingContext(ctx, correlation.Key)
	if len(ids) == 0 {
		ids = metadata.ValueFromIncomingContext(ctx, requestKey)
	}
	if len(ids) != 1 {
		return correlation.New()
	}
	return correlation.Adopt(ids[0])
}

// sampleKey asks for a trace to be kept, by the value "1".
const sampleKey = "x-trace-sample"

// WantsSample reports whether the caller of an incoming call asks for its trace to be kept.
func WantsSample(ctx context.Context) bool {
	vs := metadata.ValueFromIncomingContext(ctx, sampleKey)
	return len(vs) == 1 && vs[0] == "1"
}

// Outgoing is metadata to be sent, as a propagation.TextMapCarrier and a correlation.Carrier.
type Outgoing metadata.MD

// Get returns the first value of key, "" where there is none.
func (c Outgoing) Get(key string) string {
	if vs := metadata.MD(c).Get(key); len(vs) > 0 {
		return vs[0]
	}
	return ""
}

// Set replaces the values of key.
func (c Outgoing) Set(key, value string) { metadata.MD(c).Set(key, value) }

// Keys returns the names that are set.
func (c Outgoing) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}
