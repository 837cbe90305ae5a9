package grpcclient

import (
	"context"
	"time"
)

// deadline bounds calls that bring none, zero being never.
type deadline time.Duration

func (d deadline) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(d))
}
