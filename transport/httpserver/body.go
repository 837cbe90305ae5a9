package httpserver

import (
	"io"
	"net/http"

	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// body is a request's body under the limit of its state, which an endpoint may change before it reads. It is what
// http.MaxBytesReader is, except that it finds the response through any number of wrapped writers, and that a body
// which says that it is too long is refused before its first byte: a client that waits for "100 Continue" sends none.
type body struct {
	from   io.ReadCloser
	state  *reqstate.State
	header http.Header // of the response
	req    *http.Request
	read   int64
	err    error // sticky
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	limit := b.state.MaxBody()
	if limit <= 0 {
		n, err := b.from.Read(p)
		b.read += int64(n)
		return n, err
	}
	if b.req.ContentLength > limit {
		return 0, b.tooLarge(limit)
	}
	if len(p) == 0 {
		return 0, nil
	}
	left := limit - b.read
	if int64(len(p))-1 > left {
		p = p[:left+1] // one more than allowed tells whether there is more
	}
	n, err := b.from.Read(p)
	b.read += int64(n)
	if int64(n) > left {
		return int(left), b.tooLarge(limit)
	}
	b.err = err
	return n, err
}

// tooLarge ends an HTTP/1 connection after the answer: what the client still sends is no next request. HTTP/2 has a
// stream for each request, and the header would end all of them.
func (b *body) tooLarge(limit int64) error {
	if b.req.ProtoMajor == 1 {
		b.header.Set("Connection", "close")
	}
	b.err = &http.MaxBytesError{Limit: limit}
	return b.err
}

func (b *body) Close() error { return b.from.Close() }
