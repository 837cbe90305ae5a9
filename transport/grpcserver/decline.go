package grpcserver

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/mainstay-go/mainstay/transport"
)

const (
	// retryAfterKey is for what reads headers alone, such as a proxy on the way: whole seconds, as HTTP has it.
	retryAfterKey = "retry-after"
	// pushbackKey is for the library on the caller's side, which repeats calls by itself (gRFC A6): whole milliseconds,
	// negative for not again.
	pushbackKey = "grpc-retry-pushback-ms"
)

// decline returns the error of a call that is not served, and tells the caller when to come again. It does so in the
// trailer: after a header the library would repeat nothing.
func decline(ctx context.Context, e *transport.Error) error {
	if e.Delay > 0 {
		_ = grpc.SetTrailer(ctx, metadata.MD{ // it fails outside of a server, where nobody listens
			retryAfterKey: {strconv.FormatInt(ceil(e.Delay, time.Second), 10)},
			pushbackKey:   {pushback(ctx, e.Delay)},
		})
	}
	return coded(e)
}

// pushback is when to repeat the call. Where its time ends before that, its caller learns at once what was wrong with
// it, which is more than that time ran out.
func pushback(ctx context.Context, wait time.Duration) string {
	if at, ok := ctx.Deadline(); ok && time.Until(at) <= wait {
		return "-1"
	}
	return strconv.FormatInt(ceil(wait, time.Millisecond), 10)
}

// ceil rounds up: a caller that comes a moment too early comes in vain.
func ceil(d, unit time.Duration) int64 { return int64((d + unit - 1) / unit) }

// isReflection reports whether full is a method of the reflection service, of either version.
func isReflection(full string) bool { return strings.HasPrefix(full, "/grpc.reflection.v1") }
