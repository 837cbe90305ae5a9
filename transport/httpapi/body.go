package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// Header values that every answer shares. net/http reads them only.
var (
	contentTypeJSON = []string{transport.ContentTypeJSON}
	nosniff         = []string{"nosniff"}
)

// buffers holds bodies between requests. A buffer that grew past maxPooled is left to the garbage collector, so that
// one large request does not hold its memory for ever.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxPooled = 64 << 10

func getBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		buffers.Put(b)
	}
}

// readJSON decodes r's body into req, a pointer to a request, and holds it against its schema. A request without a body
// is one of zero members: the required ones tell what is missing.
func (c *contract) readJSON(w http.ResponseWriter, r *http.Request, state *reqstate.State, req reflect.Value,
	bad *violations) error {
	buf := getBuffer()
	defer putBuffer(buf)
	if _, err := buf.ReadFrom(c.limited(w, r, state)); err != nil {
		return bodyError(r, err)
	}
	p, data := c.plan, buf.Bytes()
	switch {
	case len(data) == 0:
	case !isJSON(r.Header["Content-Type"]):
		return unsupported(transport.ContentTypeJSON)
	case !utf8.Valid(data): // RFC 8259, section 8.1; encoding/json would replace what is wrong
		return transport.NewError(transport.InvalidArgument, "the body is not valid JSON: it is not UTF-8", nil)
	default:
		if err := json.Unmarshal(data, as(req, p.json)); err != nil {
			return p.explain(data, req.Elem(), err, bad)
		}
		if c.strict {
			(&inspector{data: data, strict: true, out: bad}).value(p.schema)
		}
	}
	if p.schema.checks {
		p.schema.check(req.Elem(), bad)
	}
	return nil
}

// unsupported is 415.
func unsupported(want string) error {
	return &statusError{http.StatusUnsupportedMediaType,
		transport.Errorf(transport.InvalidArgument, "the Content-Type must be %s", want)}
}

// explain reports every member of a body that does not fit its type, where err is the first, and what else is wrong
// with the members that do.
func (p *plan) explain(data []byte, v reflect.Value, err error, bad *violations) error {
	if !json.Valid(data) {
		return jsonError(err)
	}
	in := &inspector{data: data, types: true, out: &violations{}}
	in.value(p.schema)
	found := in.out
	if len(found.list) == 0 {
		return jsonError(err)
	}
	for _, f := range found.list {
		bad.add(f.Field, f.Description)
	}
	if in.cut {
		return nil // the members behind it are zero because nobody has read them
	}
	var more violations
	p.schema.check(v, &more)
	for _, f := range more.list {
		if !found.covers(f.Field) {
			bad.add(f.Field, f.Description)
		}
	}
	return nil
}

// limited returns r's body under the contract's limit.
func (c *contract) limited(w http.ResponseWriter, r *http.Request, state *reqstate.State) io.ReadCloser {
	limit := c.maxBody
	if limit == 0 && state != nil && state.Limited() {
		return r.Body
	}
	if limit == 0 {
		limit = defaultMaxBody
	}
	if state != nil && state.LimitBody(limit) || limit < 0 {
		return r.Body
	}
	return http.MaxBytesReader(w, r.Body, limit)
}

// isJSON reports whether the header names JSON, once: application/json or a type that ends in +json (RFC 6839).
func isJSON(contentType []string) bool {
	if len(contentType) == 1 && contentType[0] == transport.ContentTypeJSON {
		return true
	}
	mt := mediaType(contentType)
	return mt == transport.ContentTypeJSON || strings.HasSuffix(mt, "+json")
}

// mediaType returns the type that the header names, once, in lower case; else "".
func mediaType(contentType []string) string {
	if len(contentType) != 1 {
		return ""
	}
	mt, _, err := mime.ParseMediaType(contentType[0])
	if err != nil {
		return ""
	}
	return mt
}

// bodyError says why a body could not be read.
func bodyError(r *http.Request, err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return err // WriteError knows it, from any handler
	case r.Context().Err() != nil:
		return r.Context().Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &statusError{http.StatusRequestTimeout,
			transport.NewError(transport.DeadlineExceeded, "the body took too long", err)}
	}
	return transport.NewError(transport.InvalidArgument, "the body could not be read", err)
}

// jsonError says what is wrong with a body as a whole, in words that hold no Go type.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax) && strings.HasPrefix(syntax.Error(), "unexpected end"):
		return transport.NewError(transport.InvalidArgument, "the body is not valid JSON: it ends too early", err)
	case errors.As(err, &syntax):
		return transport.NewError(transport.InvalidArgument,
			"the body is not valid JSON, at byte "+strconv.FormatInt(syntax.Offset, 10), err)
	}
	return transport.NewError(transport.InvalidArgument, "the body does not fit", err)
}
