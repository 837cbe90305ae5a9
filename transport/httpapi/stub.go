package httpapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/breach"
)

// Stub is a contract with a function of a test in its provider's place. Serve it with package httpapitest.
type Stub struct {
	pattern string
	http.Handler
}

// Pattern returns the contract's pattern.
func (s *Stub) Pattern() string { return s.pattern }

// Stub returns e with f in its provider's place, for the tests of its consumers. Requests are bound and checked as by
// [Endpoint.Handler]. Beyond that a result must keep the constraints and the required fields of its own type, which
// nobody checks in production; one that does not is an Unimplemented error that says so, which nobody retries, and
// fails the test.
func (e *Endpoint[Req, Res]) Stub(f func(context.Context, Req) (Res, error)) *Stub {
	checked := func(ctx context.Context, req Req) (Res, error) {
		res, err := f(ctx, req)
		if err != nil {
			return res, err
		}
		return res, e.keeps(reflect.ValueOf(&res))
	}
	return &Stub{e.pattern.text, e.Handler(checked, nil)}
}

// keeps returns how the result that v points to breaks the contract, nil where it does not.
func (e *Endpoint[Req, Res]) keeps(v reflect.Value) error {
	var bad violations
	e.result.check(v.Elem(), &bad)
	return e.breach(&bad)
}

// Stub returns s with f in its provider's place, for the tests of its consumers. An event must keep the constraints of
// its type; one that does not is not sent, and fails the test.
func (s *Stream[Req, Event]) Stub(f func(ctx context.Context, req Req, send func(Event) error) error) *Stub {
	checked := func(ctx context.Context, req Req, send func(Event) error) error {
		var broken error
		err := f(ctx, req, func(e Event) error {
			var bad violations
			s.event.schema.check(reflect.ValueOf(&e).Elem(), &bad)
			if err := s.breach(&bad); err != nil {
				broken = err
				return err
			}
			return send(e)
		})
		if broken != nil {
			return broken
		}
		return err
	}
	return &Stub{s.pattern.text, s.Handler(checked, nil)}
}

func (c *contract) breach(bad *violations) error {
	if len(bad.list) == 0 {
		return nil
	}
	err := &breach.Error{Pattern: c.pattern.text, Fields: bad.list}
	return transport.NewError(transport.Unimplemented, err.Error(), err)
}

// check holds a result against the tags of its type.
func (p *resultPlan) check(v reflect.Value, bad *violations) {
	v, ok := pointee(v)
	if !ok {
		return
	}
	if p.schema != nil && p.schema.checks {
		p.schema.check(v, bad)
	}
	for i := range p.headers {
		q := &p.headers[i]
		switch field := q.field(v); {
		case q.required && field.IsZero():
			bad.add(q.name, isRequired)
		case !field.IsZero(): // a zero one is not sent
			q.rules.check(field, bad, q.name)
		}
	}
}
