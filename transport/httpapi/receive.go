package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"

	"github.com/mainstay-go/mainstay/transport"
)

// accept says what a client takes.
func (p *resultPlan) accept() string {
	media := transport.ContentTypeJSON
	if p.raw != nil {
		media = p.raw.media
	}
	return media + ", " + transport.ContentTypeProblem
}

// expects reports whether an answer of that status is a result: any success is, and the redirects that were declared.
func (p *resultPlan) expects(status int) bool {
	return status >= 200 && status <= 299 || slices.Contains(p.statuses, status)
}

// redirects reports whether a redirect is a result.
func (p *resultPlan) redirects() bool { return slices.ContainsFunc(p.statuses, isRedirect) }

var errTooLarge = errors.New("httpapi: the response is too large")

// read decodes a success into what v points to, and closes its body unless that is a part of the result.
func (p *resultPlan) read(resp *http.Response, v reflect.Value, limit int64) error {
	kept := false
	defer func() {
		if !kept {
			_ = resp.Body.Close()
		}
	}()
	if p.pointer {
		if resp.StatusCode == http.StatusNoContent && !p.parts() {
			return nil
		}
		v.Elem().Set(reflect.New(v.Type().Elem().Elem()))
		v = v.Elem()
	}
	if err := p.readParts(resp, v.Elem()); err != nil {
		return unreadable(err)
	}
	if !hasBody(resp.StatusCode) {
		return nil
	}
	if p.raw == nil {
		return p.readJSON(resp, v, limit)
	}
	kept = p.raw.stream
	return p.readRaw(resp, v.Elem(), limit)
}

func unreadable(err error) *transport.Error {
	return transport.NewError(transport.Internal, "a service's answer could not be read", err)
}

// readParts sets the fields that are the status and the headers.
func (p *resultPlan) readParts(resp *http.Response, v reflect.Value) error {
	if p.status != nil {
		v.FieldByIndex(p.status).SetInt(int64(resp.StatusCode))
	}
	var bad violations
	for i := range p.headers {
		q := &p.headers[i]
		q.fill(q.field(v), resp.Header[q.name], &bad)
	}
	if len(bad.list) > 0 {
		return fmt.Errorf("httpapi: header %s: %s", bad.list[0].Field, bad.list[0].Description)
	}
	return nil
}

// readJSON decodes the body. An empty one leaves the result zero.
func (p *resultPlan) readJSON(resp *http.Response, v reflect.Value, limit int64) error {
	if p.json == nil {
		return nil
	}
	if limit == 0 {
		limit = defaultMaxResponse
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if _, err := buf.ReadFrom(upTo(resp.Body, limit)); err != nil {
		return unreachable(err)
	}
	switch {
	case limit > 0 && int64(buf.Len()) > limit:
		return unreadable(errTooLarge)
	case buf.Len() == 0:
		return nil
	case !isJSON(resp.Header["Content-Type"]):
		return unreadable(fmt.Errorf("httpapi: the response is not JSON but %q", resp.Header.Get("Content-Type")))
	}
	if err := json.Unmarshal(buf.Bytes(), as(v, p.json)); err != nil {
		return unreadable(err)
	}
	return nil
}

// readRaw sets the field that is the body.
func (p *resultPlan) readRaw(resp *http.Response, v reflect.Value, limit int64) error {
	field := v.FieldByIndex(p.raw.index)
	if !p.raw.takes(resp.Header["Content-Type"]) {
		_ = resp.Body.Close()
		return unreadable(fmt.Errorf("httpapi: the response is not %s but %q", p.raw.media, resp.Header.Get("Content-Type")))
	}
	if p.raw.stream {
		field.Set(reflect.ValueOf(&limitedBody{resp.Body, limit, limit > 0}))
		return nil
	}
	if limit == 0 {
		limit = defaultMaxResponse
	}
	data, err := io.ReadAll(upTo(resp.Body, limit))
	switch {
	case err != nil:
		return unreachable(err)
	case limit > 0 && int64(len(data)) > limit:
		return unreadable(errTooLarge)
	}
	field.SetBytes(data)
	return nil
}

// upTo reads one byte more than limit, which tells whether there is more, and everything where there is no limit.
func upTo(r io.Reader, limit int64) io.Reader {
	if limit <= 0 {
		return r
	}
	return io.LimitReader(r, limit+1)
}

// limitedBody is a body that its receiver reads.
type limitedBody struct {
	io.ReadCloser
	left    int64
	bounded bool
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.bounded {
		return n, err
	}
	if b.left -= int64(n); b.left < 0 {
		return max(0, n+int(b.left)), errTooLarge
	}
	return n, err
}
