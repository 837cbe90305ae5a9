package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

// Caller sends a request whose URL is a path: *httpclient.Client knows the rest of it.
type Caller interface {
	Do(*http.Request) (*http.Response, error)
}

// Call sends req by c and returns the answer. It returns within what c and ctx allow, and it has read and closed the
// response by then.
//
// The error holds a [transport.Error], found by errors.As: what the server answered (Remote is set); Canceled or
// DeadlineExceeded where ctx or the client's time-out ended the call; Unavailable where the server could not be
// reached; InvalidArgument where req has no place in a URL; Internal for an answer that is not one.
func (e *Endpoint[Req, Res]) Call(ctx context.Context, c Caller, req Req) (Res, error) {
	res, err := e.call(ctx, c, &req)
	if err != nil {
		return res, fmt.Errorf("httpapi: call %q: %w", e.pattern.text, err)
	}
	return res, nil
}

func (e *Endpoint[Req, Res]) call(ctx context.Context, c Caller, req *Req) (res Res, err error) {
	r, err := e.request(ctx, req)
	if err != nil {
		return res, transport.NewError(transport.InvalidArgument, "the request cannot be sent", err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return res, unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return res, problem.Read(resp)
	}
	if e.empty || resp.StatusCode == http.StatusNoContent {
		return res, nil
	}
	err = e.readResponse(resp, &res)
	return res, err
}

// unreachable codes the error of a call that got no answer.
func unreachable(err error) error {
	e := transport.AsError(err)
	if e.Code == transport.Internal {
		return transport.NewError(transport.Unavailable, "a service could not be reached", err)
	}
	return e
}

// request encodes req.
func (e *Endpoint[Req, Res]) request(ctx context.Context, req *Req) (*http.Request, error) {
	v := reflect.ValueOf(req)
	values, err := e.plan.writeParams(v.Elem())
	if err != nil {
		return nil, err
	}
	target, err := e.pattern.path(func(name string) string { return values.path[name] })
	if err != nil {
		return nil, err
	}
	if len(values.query) > 0 {
		target += "?" + values.query.Encode()
	}
	var body io.Reader
	if e.plan.body != nil {
		data, err := json.Marshal(v.Convert(e.plan.body).Interface())
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data) // http.NewRequest makes a GetBody of it: it can be sent again
	}
	r, err := http.NewRequestWithContext(ctx, e.pattern.method, target, body)
	if err != nil {
		return nil, err
	}
	r.Header = values.header
	r.Header.Set("Accept", transport.ContentTypeJSON+", "+transport.ContentTypeProblem)
	if body != nil {
		r.Header["Content-Type"] = contentTypeJSON
	}
	return r, nil
}

// paramValues are a request's parameters as text.
type paramValues struct {
	path   map[string]string
	query  url.Values
	header http.Header
}

func (p *plan) writeParams(v reflect.Value) (paramValues, error) {
	values := paramValues{path: map[string]string{}, query: url.Values{}, header: http.Header{}}
	for i := range p.params {
		q := &p.params[i]
		fv := v.FieldByIndex(q.index)
		if fv.IsZero() && q.in != inPath {
			continue
		}
		if q.many {
			for j := range fv.Len() {
				if err := values.add(q, fv.Index(j)); err != nil {
					return values, err
				}
			}
			continue
		}
		if err := values.add(q, fv); err != nil {
			return values, err
		}
	}
	return values, nil
}

func (p *paramValues) add(q *param, v reflect.Value) error {
	s, present, err := q.codec.text(v)
	if err != nil {
		return fmt.Errorf("%s parameter %q: %w", q.in, q.name, err)
	}
	if !present {
		return nil
	}
	switch q.in {
	case inPath:
		p.path[q.name] = s
	case inQuery:
		p.query.Add(q.name, s)
	case inHeader:
		p.header.Set(q.name, s)
	}
	return nil
}

var errTooLarge = errors.New("httpapi: the response is too large")

// readResponse decodes the body of a success. An empty one leaves res zero.
func (e *Endpoint[Req, Res]) readResponse(resp *http.Response, res *Res) error {
	limit := e.opts.MaxResponse
	if limit == 0 {
		limit = defaultMaxResponse
	}
	body := io.Reader(resp.Body)
	if limit > 0 {
		body = io.LimitReader(body, limit+1)
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if _, err := buf.ReadFrom(body); err != nil {
		return unreachable(err)
	}
	switch {
	case limit > 0 && int64(buf.Len()) > limit:
		return transport.NewError(transport.Internal, "a service's answer could not be read", errTooLarge)
	case buf.Len() == 0:
		return nil
	case !isJSON(resp.Header["Content-Type"]):
		return transport.NewError(transport.Internal, "a service's answer could not be read",
			fmt.Errorf("httpapi: the response is not JSON but %q", resp.Header.Get("Content-Type")))
	}
	if err := json.Unmarshal(buf.Bytes(), res); err != nil {
		var zero Res
		*res = zero
		return transport.NewError(transport.Internal, "a service's answer could not be read", err)
	}
	return nil
}
