package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"reflect"

	"github.com/mainstay-go/mainstay/transport"
)

const (
	// defaultMaxBody is the request limit where no server set one: far above a JSON request, far below harm.
	defaultMaxBody = 1 << 20
	// defaultMaxResponse bounds what Call reads.
	defaultMaxResponse = 8 << 20
)

// EndpointOptions say who may call an endpoint and what limits it has.
type EndpointOptions struct {
	// Access says who may call. Zero means [transport.InternalOnly]: a verified service.
	Access transport.Access
	// Scopes that the caller's credential must carry, all of them. Nil means none. Scopes of a Public endpoint, where
	// nobody would check them, make [NewEndpoint] panic.
	Scopes []string
	// Status of a success: 200 to 299, or 301, 302, 303, 307 or 308 where the result has a field `header:"Location"`.
	// Zero means 200, or 204 where there is nothing to send; any other number makes [NewEndpoint] panic.
	Status int
	// Errors that the endpoint returns beside the codes of package transport, see [ErrorOf]. Nil means none.
	Errors []ErrorType
	// MaxBody bounds the request's body in bytes. Zero means the server's limit, or 1 MiB where no httpserver.Server
	// set one; negative means no limit.
	MaxBody int64
	// MaxResponse bounds in bytes what Call reads of a response, in place of the client's own limit. Zero means 8 MiB, and
	// no limit but the client's for a result that is an io.ReadCloser; negative means no limit.
	MaxResponse int64
	// Strict refuses a JSON body that has a member which the request type does not know, in exactly that case, or that
	// has a member twice, and a form with a name that it does not know. The default ignores what is not known.
	Strict bool
}

// Endpoint is one operation of an HTTP API: its pattern, its types, its access rule. It is immutable and safe for
// concurrent use; make it once, with [NewEndpoint], as a package variable of the contract.
type Endpoint[Req, Res any] struct {
	contract
	result      *resultPlan
	maxResponse int64
}

// NewEndpoint declares an endpoint. The pattern is a method and a path as http.ServeMux takes them, without a host:
// "GET /users/{id}". Req must be a struct. Nil options are defaults.
//
// Like regexp.MustCompile, NewEndpoint panics where the declaration is wrong (a wildcard without a field, a field of
// a type that no parameter can have, a body on a GET, a constraint that does not fit its field), so that a program
// with such an endpoint does not start. What it says names the type, the field and the tag.
func NewEndpoint[Req, Res any](pattern string, o *EndpointOptions) *Endpoint[Req, Res] {
	if o == nil {
		o = &EndpointOptions{}
	}
	e := &Endpoint[Req, Res]{maxResponse: o.MaxResponse}
	var err error
	e.contract, err = newContract(pattern, reflect.TypeFor[Req](), o.Access, o.Scopes, o.Errors)
	e.maxBody, e.strict = o.MaxBody, o.Strict
	if err == nil {
		e.result, err = newResultPlan(reflect.TypeFor[Res](), o.Status)
	}
	if err != nil {
		panic(fmt.Sprintf("httpapi: endpoint %q: %v", pattern, err))
	}
	return e
}

// Mux is what [Handle] registers with: *http.ServeMux is one, and chi's routers are.
type Mux interface {
	Handle(pattern string, h http.Handler)
}

// Handle registers f as the handler of e under e's pattern. It panics where mux does: on a pattern that conflicts
// with another.
func Handle[Req, Res any](mux Mux, e *Endpoint[Req, Res], f func(context.Context, Req) (Res, error)) {
	mux.Handle(e.pattern.text, e.Handler(f, nil))
}
