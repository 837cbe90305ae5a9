package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// rawBody is a field that is the body as it is.
type rawBody struct {
	index  []int
	media  string // what the body may be: a media type, type/* or */*
	stream bool   // an io.Reader or io.ReadCloser, else a []byte
	closer bool   // an io.ReadCloser
	must   bool   // not empty
}

var (
	errRawType = errors.New("is the body as it is, so it must be a []byte, an io.Reader or an io.ReadCloser")
	errMedia   = errors.New("has no media type such as text/csv, image/* or */*")
)

func newRawBody(f reflect.StructField, media string, index []int) (*rawBody, error) {
	b := &rawBody{index: index, media: strings.ToLower(media)}
	switch f.Type {
	case reflect.TypeFor[[]byte]():
	case reflect.TypeFor[io.Reader]():
		b.stream = true
	case reflect.TypeFor[io.ReadCloser]():
		b.stream, b.closer = true, true
	default:
		return nil, errRawType
	}
	major, minor, ok := strings.Cut(b.media, "/")
	if !ok || major != "*" && !isToken(major) || minor != "*" && !isToken(minor) || major == "*" && minor != "*" {
		return nil, errMedia
	}
	var err error
	b.must, err = requiredTag(f)
	return b, err
}

func (p *plan) setRaw(t reflect.Type, f reflect.StructField, media string, index []int) error {
	b, err := newRawBody(f, media, index)
	switch {
	case err != nil:
		return mistake(t, f, "%w", err)
	case p.raw != nil:
		return mistake(t, f, "is a second body")
	}
	p.raw = b
	return p.setBody(t, f, rawBodyKind)
}

// takes reports whether the header names what the body may be.
func (b *rawBody) takes(contentType []string) bool {
	if b.media == "*/*" {
		return true
	}
	mt := mediaType(contentType)
	if major, ok := strings.CutSuffix(b.media, "*"); ok {
		return strings.HasPrefix(mt, major)
	}
	return mt == b.media
}

// fixed returns the one media type that the body has, "" where there may be several.
func (b *rawBody) fixed() string {
	if strings.HasSuffix(b.media, "*") {
		return ""
	}
	return b.media
}

// readRaw sets the field in req, a request, that is the body.
func (c *contract) readRaw(w http.ResponseWriter, r *http.Request, state *reqstate.State, req reflect.Value,
	bad *violations) error {
	b := c.plan.raw
	if r.ContentLength != 0 && !b.takes(r.Header["Content-Type"]) {
		return unsupported(b.media)
	}
	field, body := req.FieldByIndex(b.index), c.limited(w, r, state)
	if b.stream {
		field.Set(reflect.ValueOf(body))
		if b.must && r.ContentLength == 0 {
			bad.add("", isRequired)
		}
		return nil
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return bodyError(r, err)
	}
	field.SetBytes(data)
	if b.must && len(data) == 0 {
		bad.add("", isRequired)
	}
	return nil
}

// reader returns the body that v, a request or a result, is sent with, nil for none.
func (b *rawBody) reader(v reflect.Value) io.Reader {
	field := v.FieldByIndex(b.index)
	if !b.stream {
		if field.Len() == 0 {
			return nil
		}
		return bytes.NewReader(field.Bytes())
	}
	r, _ := field.Interface().(io.Reader) // nil is none
	return r
}

// orOctets returns the media type of a body that does not say what it is.
func (b *rawBody) orOctets() string {
	if mt := b.fixed(); mt != "" {
		return mt
	}
	return "application/octet-stream"
}
