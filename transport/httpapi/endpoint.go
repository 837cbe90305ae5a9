package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"

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
	// Scopes that the caller's credential must carry, all of them. Nil means none.
	Scopes []string
	// Status of a success, 200 to 299. Zero means 200, or 204 where there is nothing to send; any other number makes
	// [NewEndpoint] panic.
	Status int
	// MaxBody bounds the request's body in bytes. Zero means the server's limit, or 1 MiB where no httpserver.Server
	// set one; negative means no limit.
	MaxBody int64
	// MaxResponse bounds in bytes what Call reads of a response. Zero means 8 MiB; negative means no limit.
	MaxResponse int64
	// Strict refuses a body that has a member which the request type does not know. The default ignores it.
	Strict bool
}

// Endpoint is one operation of an HTTP API: its pattern, its types, its access rule. It is immutable and safe for
// concurrent use; make it once, with [NewEndpoint], as a package variable of the contract.
type Endpoint[Req, Res any] struct {
	pattern pattern
	plan    *plan
	opts    EndpointOptions
	empty   bool // Res is struct{}
	pointer bool // Res is a pointer, which may be nil
}

// NewEndpoint declares an endpoint. The pattern is a method and a path as http.ServeMux takes them, without a host:
// "GET /users/{id}". Req must be a struct. Nil options are defaults.
//
// Like regexp.MustCompile, NewEndpoint panics where the declaration is wrong (a wildcard without a field, a field of
// a type that no parameter can have, a body on a GET), so that a program with such an endpoint does not start.
func NewEndpoint[Req, Res any](pattern string, o *EndpointOptions) *Endpoint[Req, Res] {
	e := &Endpoint[Req, Res]{}
	if o != nil {
		e.opts = *o
		e.opts.Scopes = slices.Clone(o.Scopes)
	}
	var err error
	if e.pattern, err = parsePattern(pattern); err == nil {
		e.plan, err = newPlan(reflect.TypeFor[Req](), e.pattern)
	}
	if s := e.opts.Status; err == nil && s != 0 && (s < 200 || s > 299) {
		err = fmt.Errorf("status %d is not a success", s)
	}
	if err != nil {
		panic(fmt.Sprintf("httpapi: endpoint %q: %v", pattern, err))
	}
	res := reflect.TypeFor[Res]()
	e.empty = res == reflect.TypeFor[struct{}]()
	e.pointer = res.Kind() == reflect.Pointer
	return e
}

// Pattern returns the pattern as it was declared, for routers that [Handle] does not fit.
func (e *Endpoint[Req, Res]) Pattern() string { return e.pattern.text }

// String returns the pattern.
func (e *Endpoint[Req, Res]) String() string { return e.pattern.text }

// Mux is what [Handle] registers with: *http.ServeMux is one.
type Mux interface {
	Handle(pattern string, h http.Handler)
}

// Handle registers f as the handler of e under e's pattern. It panics where mux does: on a pattern that conflicts
// with another.
func Handle[Req, Res any](mux Mux, e *Endpoint[Req, Res], f func(context.Context, Req) (Res, error)) {
	mux.Handle(e.pattern.text, e.Handler(f))
}
