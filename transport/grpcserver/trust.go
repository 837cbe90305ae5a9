package grpcserver

import (
	"context"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// adopt takes what a trusted caller sent of itself, or makes it anew: the correlation ID, and the trace that the span
// belongs to.
func (o *observer) adopt(ctx context.Context, c *call) context.Context {
	trusted := o.trust == nil || o.trust(ctx)
	if trusted {
		c.id = rpc.CorrelationID(ctx)
	} else {
		c.id = correlation.New()
	}
	c.ctx = o.startSpan(correlation.NewContext(ctx, c.id), c, trusted)
	return c.ctx
}
