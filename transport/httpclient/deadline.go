package httpclient

import (
	"context"
	"io"
	"time"

	"github.com/mainstay-go/mainstay/transport/internal/outcall"
)

// deadline returns ctx with the client's time-out. It lives until the body of the response is closed. answered is to be
// called when there is a response: a stream's time-out ends there.
func (c *Client) deadline(ctx context.Context) (limited context.Context, answered, cancel func()) {
	answered = func() {}
	switch {
	case c.timeout < 0:
		limited, cancel = context.WithCancel(ctx)
	case outcall.From(ctx).Stream:
		var end context.CancelCauseFunc
		limited, end = context.WithCancelCause(ctx)
		late := time.AfterFunc(c.timeout, func() { end(context.DeadlineExceeded) })
		answered = func() { late.Stop() }
		cancel = func() { late.Stop(); end(nil) }
	default:
		limited, cancel = context.WithTimeout(ctx, c.timeout)
	}
	return limited, answered, cancel
}

// heldBody is a response's body that ends its request's context when it is closed.
type heldBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *heldBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}
