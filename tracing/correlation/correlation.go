package correlation

import (
	"context"

	"github.com/google/uuid"
)

const (
	// Header is the HTTP header that carries the ID, in the canonical form of net/http.
	Header = "X-Correlation-Id"
	// RequestHeader is read when Header is absent, for callers that call the same thing a request ID.
	RequestHeader = "X-Request-Id"
	// Key is Header in lower case: the ID's name in a [Carrier], such as gRPC metadata.
	Key = "x-correlation-id"
	// Attr is the ID's name in logs and span attributes.
	Attr = "correlation_id"
	// MaxLength bounds an ID, in bytes.
	MaxLength = 128
)

// New mints an ID: a UUIDv7, 36 bytes.
func New() string {
	id, err := uuid.NewV7()
	if err != nil {
		// crypto/rand never fails since Go 1.24; a v4 would fail by the same cause.
		panic("correlation: no randomness: " + err.Error())
	}
	return id.String()
}

// allowedLow and allowedHigh have a bit for each byte that an ID may have: those below 64, and those from there on. A
// look at them costs less than comparing with the ranges.
const (
	allowedLow  = 0x3ff<<'0' | 1<<'-' | 1<<'.'
	allowedHigh = 0x3ffffff<<('A'-64) | 0x3ffffff<<('a'-64) | 1<<('_'-64)
)

// Valid reports whether s may be adopted: 1 to [MaxLength] bytes, each of [A-Za-z0-9._-]. Anything else could break
// a log line or a header, and is replaced, never shortened: a shortened ID joins what does not belong together.
func Valid(s string) bool {
	if s == "" || len(s) > MaxLength {
		return false
	}
	for i := range len(s) {
		c := s[i]
		bits := uint64(allowedLow)
		if c >= 64 {
			bits = allowedHigh
		}
		if c >= 128 || bits>>(c%64)&1 == 0 {
			return false
		}
	}
	return true
}

// Adopt returns s where it is [Valid], else a new ID.
func Adopt(s string) string {
	if Valid(s) {
		return s
	}
	return New()
}

type contextKey struct{}

// NewContext returns a copy of ctx that carries id where it is valid, else a new one (see [Adopt]). Ask [FromContext]
// for the outcome.
func NewContext(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, Adopt(id))
}

// FromContext returns the ID of ctx, "" where there is none. What it returns is [Valid]: it can go into a header or a
// log line as it is.
func FromContext(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// Ensure returns ctx and its ID; where ctx has none, a copy of ctx with a new one.
func Ensure(ctx context.Context) (context.Context, string) {
	if id := FromContext(ctx); id != "" {
		return ctx, id
	}
	id := New()
	return NewContext(ctx, id), id
}
