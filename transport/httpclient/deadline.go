package httpclient

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/outcall"
)

// Deadline returns a RoundTripper that tells the server how long the caller will wait: what is left until the deadline
// of the request's context (http.Client.Timeout is part of it), in the header [transport.HeaderRequestTimeout], in
// whole milliseconds rounded down, and at least 1. A request without a deadline, or with one that is more than 115 days
// away, gets no header; one that has the header keeps it. Time is sent, not a point in time: the clocks of two machines
// differ.
//
// A policy's time for one attempt is not told: it ends with the response's header, and the body may take longer.
//
// Nil base is http.DefaultTransport.
func Deadline(base http.RoundTripper) http.RoundTripper {
	return &pass{base: orDefault(base), deadline: true}
}

// maxTimeout has the ten digits that the header may have.
const maxTimeout = (10_000_000_000 - 1) * time.Millisecond

// tellDeadline writes the header of r, whose header is our own.
func tellDeadline(r *http.Request) {
	at, ok := r.Context().Deadline()
	if !ok || r.Header[transport.HeaderRequestTimeout] != nil {
		return
	}
	left := time.Until(at)
	if left > maxTimeout {
		return
	}
	ms := max(left.Milliseconds(), 1) // less would be no time at all; our own context is about to end the request
	r.Header[transport.HeaderRequestTimeout] = []string{strconv.FormatInt(ms, 10)}
}

// deadline returns ctx with the client's time-out. It lives until the body of the response is closed. answered is to be
// called when there is a response: a stream's time-out ends there, and no server is told of it.
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

// end ends the context without waiting for whoever reads.
func (b *heldBody) end() { b.cancel() }

// heldConn is the body of a response 101, which net/http promises to be an io.Writer too.
type heldConn struct {
	heldBody
	io.Writer
}

// hold returns body such that it ends its request's context when it is closed.
func hold(body io.ReadCloser, cancel context.CancelFunc) io.ReadCloser {
	if w, ok := body.(io.Writer); ok {
		return &heldConn{heldBody{body, cancel}, w}
	}
	return &heldBody{body, cancel}
}
