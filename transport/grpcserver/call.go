package grpcserver

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// call is what one call needs.
type call struct {
	*method
	ctx      context.Context //nolint:containedctx // the call's own, with all that is known of it: for the log
	original string          // the method's full name, where it is not registered
	id       string          // the correlation ID
	echoed   atomic.Bool
	start    time.Time
	span     trace.Span // nil until it began
	lent     bool       // the span is that of somebody around us, who ends it
	stream   *observedStream
	panicked *panicInfo
	answered atomic.Pointer[status.Status] // by the library itself, see note
}

// note takes down that the library could not read or write a message. It answers such a call by itself, and ends its
// context: what the handler makes of it comes too late.
func (c *call) note(err error) error {
	if err != nil && err != io.EOF { //nolint:errorlint // the library returns it bare
		c.answered.CompareAndSwap(nil, status.Convert(err))
	}
	return err
}

func (c *call) begin(ctx context.Context) {
	c.ctx = ctx
	c.start = time.Now()
	c.active.Inc()
}

// echo tells the caller the correlation ID: in the header, or in the trailer where there is none. An error that comes
// without a header may be retried by the caller's library (gRFC A6), which it must not lose for our sake.
func (c *call) echo(ctx context.Context, header bool) {
	if c.id == "" || c.echoed.Swap(true) {
		return
	}
	md := metadata.MD{correlation.Key: {c.id}}
	if header && grpc.SetHeader(ctx, md) == nil {
		return // it fails where the handler has sent the header by itself
	}
	_ = grpc.SetTrailer(ctx, md) // it fails outside of a server, where nobody listens
}

// end records what came of the call, and returns the error to be sent.
func (o *observer) end(ctx context.Context, c *call, err error) error {
	took := time.Since(c.start)
	sent := o.sent(ctx, c, err)
	out := o.outcomeOf(c.method, sent.Code())
	out.series.Observe(ctx, took)
	c.endSpan(out)
	if o.logs(out) {
		c.log(out, took, err)
	}
	c.active.Dec()
	c.echo(ctx, sent == nil)
	if c.panicked.exited() {
		abandon(ctx, sent)
	}
	if sent == nil || err == nil {
		return sent.Err() // nil of nil; a panic leaves no error
	}
	return rpc.Wrap(err, sent)
}

// sent returns what the caller is told, nil for success.
func (o *observer) sent(ctx context.Context, c *call, err error) *status.Status {
	if c.panicked != nil {
		return sentForPanic()
	}
	cutOff := o.cutOff.Load()
	if answered := c.answered.Load(); answered != nil && !(cutOff && answered.Code() == codes.Canceled) {
		return answered
	}
	return statusOf(ctx, err, cutOff)
}
