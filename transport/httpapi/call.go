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
	"github.com/mainstay-go/mainstay/transport/internal/outcall"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

// Caller sends a request whose URL is a path: *httpclient.Client knows the rest of it.
type Caller interface {
	Do(*http.Request) (*http.Response, error)
}

// Call sends req by c and returns the answer. It returns within what c and ctx allow, and it has read and closed the
// response by then, unless the result has an io.ReadCloser, which the caller closes.
//
// The error holds a [transport.Error], found by errors.As: what the server answered (Remote is set; an error of a
// declared type is found beside it, see [ErrorOf]); Canceled or DeadlineExceeded where ctx or the client's time-out
// ended the call; Unavailable where the server could not be reached; InvalidArgument where req has no place in a
// request; Internal for an answer that is not one.
func (e *Endpoint[Req, Res]) Call(ctx context.Context, c Caller, req Req) (Res, error) {
	res, err := e.call(ctx, c, &req)
	if err != nil {
		return res, fmt.Errorf("httpapi: call %q: %w", e.pattern.text, err)
	}
	return res, nil
}

func (e *Endpoint[Req, Res]) call(ctx context.Context, c Caller, req *Req) (res Res, err error) {
	if c := (outcall.Call{Redirects: e.result.redirects(), Bounded: e.maxResponse != 0}); c != (outcall.Call{}) {
		ctx = outcall.NewContext(ctx, c)
	}
	r, err := e.request(ctx, reflect.ValueOf(req))
	if err != nil {
		return res, transport.NewError(transport.InvalidArgument, "the request cannot be sent", err)
	}
	r.Header.Set("Accept", e.result.accept())
	resp, err := c.Do(r)
	if err != nil {
		return res, unreachable(err)
	}
	if !e.result.expects(resp.StatusCode) {
		defer resp.Body.Close()
		answered, doc := problem.ReadTyped(resp)
		return res, typed(answered, doc, e.errors)
	}
	if err := e.result.read(resp, reflect.ValueOf(&res), e.maxResponse); err != nil {
		var zero Res // not what was read by halves
		return zero, err
	}
	return res, nil
}

// unreachable codes the error of a call that got no answer.
func unreachable(err error) *transport.Error {
	e := transport.AsError(err)
	if e.Code == transport.Internal {
		return transport.NewError(transport.Unavailable, "a service could not be reached", err)
	}
	return e
}

// request encodes the request that v points to.
func (c *contract) request(ctx context.Context, v reflect.Value) (*http.Request, error) {
	values := paramValues{path: map[string]string{}, query: url.Values{}, header: http.Header{}}
	if err := c.plan.writeParams(v.Elem(), &values); err != nil {
		return nil, err
	}
	target, err := c.pattern.path(func(name string) string { return values.path[name] })
	if err != nil {
		return nil, err
	}
	if len(values.query) > 0 {
		target += "?" + values.query.Encode()
	}
	body, err := c.plan.writeBody(v, &values)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, c.pattern.method, target, body.from)
	if err != nil {
		return nil, err
	}
	if body.again != nil {
		r.GetBody, r.ContentLength = body.again, -1
	}
	r.Pattern = c.pattern.text // what a client counts it by
	r.Header = values.header
	for _, cookie := range values.cookies {
		r.AddCookie(cookie)
	}
	if body.from != nil && body.media != "" && r.Header["Content-Type"] == nil {
		r.Header["Content-Type"] = []string{body.media}
	}
	return r, nil
}

// content is the body of a request to send.
type content struct {
	from  io.Reader // nil for none; http.NewRequest makes a GetBody of a *bytes.Reader
	media string
	again func() (io.ReadCloser, error) // GetBody, where http.NewRequest makes none
}

func (p *plan) writeBody(v reflect.Value, values *paramValues) (content, error) {
	switch p.body {
	case jsonBody:
		data, err := json.Marshal(as(v, p.json))
		return content{from: bytes.NewReader(data), media: transport.ContentTypeJSON}, err
	case formBody:
		return p.writeForm(values)
	case rawBodyKind:
		return content{from: p.raw.reader(v.Elem()), media: p.raw.orOctets()}, nil
	}
	return content{}, nil
}

// paramValues are a request's parameters as text.
type paramValues struct {
	path    map[string]string
	query   url.Values
	header  http.Header
	cookies []*http.Cookie
	form    []formValue
}

func (p *plan) writeParams(v reflect.Value, values *paramValues) error {
	for i := range p.params {
		q := &p.params[i]
		field := q.field(v)
		var err error
		switch {
		case field.IsZero() && q.in != inPath:
		case q.file != noFile:
			values.addFiles(q, field)
		case q.many:
			for j := 0; j < field.Len() && err == nil; j++ {
				err = values.add(q, field.Index(j))
			}
		default:
			err = values.add(q, field)
		}
		if err != nil {
			return fmt.Errorf("%s parameter %q: %w", q.in, q.name, err)
		}
	}
	return nil
}

var errCookieValue = errors.New("a cookie cannot hold it")

func (p *paramValues) add(q *param, v reflect.Value) error {
	s, present, err := q.codec.text(v)
	if err != nil || !present {
		return err
	}
	switch q.in {
	case inPath:
		p.path[q.name] = s
	case inQuery:
		p.query.Add(q.name, s)
	case inHeader:
		p.header.Set(q.name, s)
	case inForm:
		p.form = append(p.form, formValue{name: q.name, text: s})
	case inCookie:
		c := &http.Cookie{Name: q.name, Value: s}
		if c.Valid() != nil {
			return errCookieValue
		}
		p.cookies = append(p.cookies, c)
	}
	return nil
}
