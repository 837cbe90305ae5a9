package httpapi

import (
	"errors"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// bind fills in req, a pointer to a request, from r, and checks it. Everything that is wrong with the request is in one
// error, unless its body cannot be read at all. The form, nil for none, is to be removed when the handler has returned.
func (c *contract) bind(w http.ResponseWriter, r *http.Request, state *reqstate.State, req reflect.Value,
	pathValue pathValueFunc) (form *multipart.Form, err error) {
	var bad violations
	c.plan.readParams(r, req.Elem(), pathValue, &bad)
	switch c.plan.body {
	case jsonBody:
		err = c.readJSON(w, r, state, req, &bad)
	case formBody:
		form, err = c.readForm(w, r, state, req.Elem(), &bad)
	case rawBodyKind:
		err = c.readRaw(w, r, state, req.Elem(), &bad)
	}
	switch {
	case err != nil:
		return form, err
	case len(bad.list) > 0:
		return form, transport.Invalid(bad.list...)
	}
	return form, validate(req.Interface())
}

// readParams fills in the parameters that are not in the body.
func (p *plan) readParams(r *http.Request, v reflect.Value, pathValue pathValueFunc, bad *violations) {
	var query url.Values
	if p.query && r.URL.RawQuery != "" {
		var err error
		if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			bad.add("?", "the query is malformed")
			return
		}
	}
	for i := range p.params {
		q := &p.params[i]
		switch {
		case q.in == inForm:
		case q.in != inPath:
			q.fill(q.field(v), q.values(r, query), bad)
		case pathValue != nil:
			q.fillPath(q.field(v), pathValue(r, q.name), bad)
		default:
			q.fillPath(q.field(v), r.PathValue(q.name), bad)
		}
	}
}

// fillPath is fill for what is there always.
func (q *param) fillPath(v reflect.Value, s string, bad *violations) {
	before := len(bad.list)
	q.fillOne(v, s, bad)
	if len(bad.list) == before && !q.rules.empty() {
		q.rules.check(v, bad, q.name)
	}
}

// validate asks the request's own method.
func validate(req any) error {
	checked, ok := req.(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := checked.Validate()
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*transport.Error](err); ok {
		return err
	}
	return transport.NewError(transport.InvalidArgument, err.Error(), err)
}
