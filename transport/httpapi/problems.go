package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

// ErrorType is an error type that an endpoint or a stream declares. Make it with [ErrorOf].
type ErrorType struct {
	uri    string
	code   transport.Code
	typ    reflect.Type
	find   func(error) (error, bool)
	decode func([]byte) (error, error)
}

// ErrorOf declares that an endpoint returns errors of type E, a struct or a pointer to one. A handler returns one,
// plain or wrapped, and the caller's errors.As finds an E with the same exported fields beside the *transport.Error.
//
// On the wire it is a problem (RFC 9457) of the type that uri names, an absolute URI or a path, with code's status, the
// text of E's Error as the detail, and E's JSON members beside those of every problem. So unlike the text of another
// error, that of E is sent. A code of OK, a uri that is none, an E without JSON members of its own or with one of a
// problem's names make NewEndpoint and NewStream panic.
func ErrorOf[E error](uri string, code transport.Code) ErrorType {
	return ErrorType{
		uri: uri, code: code, typ: reflect.TypeFor[E](),
		find: func(err error) (error, bool) { return errors.AsType[E](err) },
		decode: func(body []byte) (error, error) {
			var e E
			err := json.Unmarshal(body, &e)
			return e, err
		},
	}
}

// checkErrors returns what is wrong with declared error types.
func checkErrors(declared []ErrorType) error {
	for i, d := range declared {
		if err := d.check(); err != nil {
			return fmt.Errorf("error type %v: %w", d.typ, err)
		}
		if slices.ContainsFunc(declared[:i], func(o ErrorType) bool { return o.uri == d.uri || o.typ == d.typ }) {
			return fmt.Errorf("error type %v: it, or its URI %q, is declared twice", d.typ, d.uri)
		}
	}
	return nil
}

func (d *ErrorType) check() error {
	if d.typ == nil {
		return errors.New("it is not made by ErrorOf")
	}
	if u, err := url.Parse(d.uri); err != nil || d.uri == "" || u.Scheme == "about" {
		return fmt.Errorf("%q is no URI of a problem type", d.uri)
	}
	if d.code == transport.OK {
		return errors.New("its code is OK")
	}
	t := d.typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || readsItself(t) {
		return errors.New("it is no struct")
	}
	s, err := newSchema(t, nil)
	if err != nil {
		return err
	}
	for _, m := range s.members {
		if slices.Contains(problem.Members(), m.name) {
			return fmt.Errorf("its member %q is one that every problem has", m.name)
		}
	}
	return nil
}

// declaredIn returns the problem that err is by one of the declared types, nil where it is none of them.
func declaredIn(err error, declared []ErrorType) (*transport.Error, *problem.Extension) {
	for i := range declared {
		d := &declared[i]
		typed, found := d.find(err)
		if !found || passedOver(err) {
			continue
		}
		members, encodeErr := json.Marshal(typed)
		if encodeErr != nil || len(members) == 0 || members[0] != '{' {
			return nil, nil // a bug of the type's own methods, or a nil: it is an error like any other
		}
		return transport.NewError(d.code, typed.Error(), err), &problem.Extension{Type: d.uri, Members: members}
	}
	return nil, nil
}

// passedOver reports whether err came from somebody else, as a verdict that is no matter of our caller's
// (transport.AsError).
func passedOver(err error) bool {
	e, ok := errors.AsType[*transport.Error](err)
	if !ok || !e.Remote {
		return false
	}
	return e.Code == transport.Unauthenticated || e.Code == transport.PermissionDenied || e.Code == transport.Canceled
}

// typed returns the error that a problem of a declared type stands for: e, with the type's own error as its cause.
func typed(e *transport.Error, doc problem.Document, declared []ErrorType) *transport.Error {
	for i := range declared {
		d := &declared[i]
		if d.uri != doc.Type {
			continue
		}
		cause, err := d.decode(doc.JSON)
		if err != nil {
			return e
		}
		with := transport.NewError(e.Code, e.Message, cause)
		with.Fields, with.Delay, with.Remote = e.Fields, e.Delay, e.Remote
		return with
	}
	return e
}
