package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
)

// request is what of an HTTP request its key stands for.
type request struct {
	key         string // "" for none
	pattern     string // of the mux, "" for none
	route       string // the pattern, or else method and path
	id          [sha256.Size]byte
	fingerprint [sha256.Size]byte
	body        []byte
}

// read reads r's key and, where there is one, its body, which stays to be read in r.
func (k *Keys) read(w http.ResponseWriter, r *http.Request) (*request, error) {
	q := &request{pattern: r.Pattern, route: r.Pattern}
	if q.route == "" {
		q.route = r.Method + " " + r.URL.Path
	}
	var err error
	if q.key, err = parseKey(r.Header[transport.HeaderIdempotencyKey], k.opt.AllowBare); err != nil {
		return q, invalidKey(err.Error())
	}
	if q.key == "" && !k.opt.Optional {
		return q, invalidKey("is required")
	}
	if q.key == "" {
		return q, nil
	}
	from := r.Body
	if k.opt.MaxBody > 0 {
		from = http.MaxBytesReader(w, from, k.opt.MaxBody)
	}
	if q.body, err = io.ReadAll(from); err != nil {
		return q, bodyError(r.Context(), err)
	}
	r.Body = q.reader()
	scope := ""
	if k.opt.Scope != nil {
		scope = k.opt.Scope(r)
	}
	caller, _ := auth.FromContext(r.Context())
	q.id = sum(caller.Issuer, caller.Subject, scope, r.Method, q.route, q.key)
	q.fingerprint = k.fingerprint(r, q.body)
	return q, nil
}

// reader reads the body from its beginning.
func (q *request) reader() io.ReadCloser { return io.NopCloser(bytes.NewReader(q.body)) }

// fingerprint tells a request from another of the same route.
func (k *Keys) fingerprint(r *http.Request, body []byte) [sha256.Size]byte {
	parts := []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery}
	for _, name := range k.opt.FingerprintHeaders {
		values := r.Header.Values(name)
		parts = append(parts, string(binary.AppendUvarint(nil, uint64(len(values)))))
		parts = append(parts, values...)
	}
	h := sha256.New()
	for _, p := range parts {
		writePart(h, p)
	}
	h.Write(body) // last, so that it needs no length
	return [sha256.Size]byte(h.Sum(nil))
}

// sum hashes parts such that no two lists of the same length have one hash.
func sum(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range parts {
		writePart(h, p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func writePart(h hash.Hash, p string) {
	h.Write(binary.AppendUvarint(nil, uint64(len(p))))
	h.Write([]byte(p))
}

// bodyError says why a body could not be read.
func bodyError(ctx context.Context, err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return err // httpapi.WriteError knows it
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout,
			transport.NewError(transport.DeadlineExceeded, "the body took too long", err)}
	}
	return transport.NewError(transport.InvalidArgument, "the body could not be read", err)
}
