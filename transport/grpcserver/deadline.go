package grpcserver

import (
	"context"
	"time"
)

// within returns a context that ends within timeout, zero being never. It is ctx itself where ctx ends no later anyway:
// that costs nothing.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return ctx, func() {}
	}
	if own, ok := ctx.Deadline(); ok && time.Until(own) <= timeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}
