package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"

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

// readBody decodes r's body into v. A request without a body leaves v as it is: the required fields tell what is
// missing.
func (e *Endpoint[Req, Res]) readBody(w http.ResponseWriter, r *http.Request, state *reqstate.State, v any) error {
	buf := getBuffer()
	defer putBuffer(buf)
	if _, err := buf.ReadFrom(e.limited(w, r, state)); err != nil {
		return bodyError(r, err)
	}
	if buf.Len() == 0 {
		return nil
	}
	if !isJSON(r.Header["Content-Type"]) {
		return &statusError{http.StatusUnsupportedMediaType,
			transport.Errorf(transport.InvalidArgument, "the Content-Type must be %s", transport.ContentTypeJSON)}
	}
	if err := decode(buf.Bytes(), v, e.opts.Strict); err != nil {
		return jsonError(err)
	}
	return nil
}

// limited returns r's body under the endpoint's limit.
func (e *Endpoint[Req, Res]) limited(w http.ResponseWriter, r *http.Request, state *reqstate.State) io.Reader {
	limit := e.opts.MaxBody
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

// decode is json.Unmarshal, which refuses what is behind the value, with or without unknown members.
func decode(data []byte, v any, strict bool) error {
	if !strict {
		return json.Unmarshal(data, v)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errTrailing
	}
	return nil
}

var errTrailing = errors.New("there is more behind the value")

// isJSON reports whether the header names JSON, once: application/json or a type that ends in +json (RFC 6839).
func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == transport.ContentTypeJSON {
		return true
	}
	mt, _, err := mime.ParseMediaType(contentType[0])
	return err == nil && (mt == transport.ContentTypeJSON || strings.HasSuffix(mt, "+json"))
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

// jsonError says what is wrong with a body, in words that hold no Go type.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return transport.NewError(transport.InvalidArgument,
			"the body is not valid JSON, at byte "+strconv.FormatInt(syntax.Offset, 10), err)
	case errors.As(err, &kind):
		return typeError(kind)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return transport.NewError(transport.InvalidArgument, "the body is not valid JSON: it ends too early", err)
	case errors.Is(err, errTrailing):
		return transport.NewError(transport.InvalidArgument, "the body holds more than one JSON value", err)
	}
	// encoding/json has no type for this one.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		if unquoted, err := strconv.Unquote(name); err == nil {
			name = unquoted
		}
		return transport.Invalid(transport.FieldViolation{Field: name, Description: "is not known"})
	}
	return transport.NewError(transport.InvalidArgument, "the body does not fit", err)
}

func typeError(err *json.UnmarshalTypeError) error {
	want := "another type"
	switch err.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Bool:
		want = "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		want = "an integer in range"
	case reflect.Float32, reflect.Float64:
		want = "a number in range"
	case reflect.Slice, reflect.Array:
		want = "an array"
	case reflect.Struct, reflect.Map:
		want = "an object"
	}
	if err.Field == "" {
		return transport.NewError(transport.InvalidArgument, "the body must be "+want, err)
	}
	return transport.Invalid(transport.FieldViolation{Field: err.Field, Description: "must be " + want})
}

// readParams fills in the parameters and returns what is wrong with them.
func (p *plan) readParams(r *http.Request, v reflect.Value) (bad []transport.FieldViolation) {
	var query url.Values
	if p.query && r.URL.RawQuery != "" {
		var err error
		if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return []transport.FieldViolation{{Field: "?", Description: "the query is malformed"}}
		}
	}
	for i := range p.params {
		q := &p.params[i]
		var err error
		switch q.in {
		case inPath:
			err = q.codec.set(v.FieldByIndex(q.index), r.PathValue(q.name))
		case inQuery:
			err = q.setAll(v.FieldByIndex(q.index), query[q.name])
		case inHeader:
			err = q.setAll(v.FieldByIndex(q.index), r.Header[q.name])
		}
		if err != nil {
			bad = append(bad, transport.FieldViolation{Field: q.name, Description: err.Error()})
		}
	}
	return bad
}

var errTwice = errors.New("must be there once")

// setAll sets v from the values that came. No value leaves v zero.
func (q *param) setAll(v reflect.Value, values []string) error {
	if !q.many {
		switch len(values) {
		case 0:
			return nil
		case 1:
			return q.codec.set(v, values[0])
		}
		return errTwice
	}
	if len(values) == 0 {
		return nil
	}
	v.Set(reflect.MakeSlice(v.Type(), len(values), len(values)))
	for i, s := range values {
		if err := q.codec.set(v.Index(i), s); err != nil {
			return err
		}
	}
	return nil
}
