package httpclient

import (
	"errors"
	"io"
	"net/http"
)

// ErrResponseTooLarge is the error of reading a response past the limit.
var ErrResponseTooLarge = errors.New("httpclient: the response is too large")

// LimitResponse returns a layer whose responses yield at most n bytes of body, after decompression, and then
// [ErrResponseTooLarge] instead of the rest. A body that says beforehand that it is longer yields the error at once.
// Status and header are there all the same. A connection that was switched to another protocol (101) has no limit.
//
// It panics where n is negative. Nil base of the layer is http.DefaultTransport.
func LimitResponse(n int64) func(base http.RoundTripper) http.RoundTripper {
	if n < 0 {
		panic("httpclient: LimitResponse of less than 0 bytes")
	}
	return func(base http.RoundTripper) http.RoundTripper { return limiter{orDefault(base), n} }
}

type limiter struct {
	base http.RoundTripper
	n    int64
}

func (l limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := roundTrip(l.base, r)
	if err == nil {
		limit(resp, l.n)
	}
	return resp, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (l limiter) CloseIdleConnections() { closeIdle(l.base) }

// limit bounds resp's body.
func limit(resp *http.Response, n int64) {
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == http.NoBody {
		return
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: n, over: resp.ContentLength > n}
}

// limitedBody is no io.LimitedReader: that one ends as a whole body does.
type limitedBody struct {
	io.ReadCloser
	left int64
	over bool
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.over {
		return 0, ErrResponseTooLarge
	}
	// One byte more than is left, to tell a body of just the limit from a longer one.
	if int64(len(p))-1 > b.left {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) <= b.left {
		b.left -= int64(n)
		return n, err
	}
	b.over = true
	n, b.left = int(b.left), 0
	return n, ErrResponseTooLarge
}
