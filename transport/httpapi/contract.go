package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// contract is what endpoints and streams have in common: all but the types.
type contract struct {
	pattern pattern
	plan    *plan
	access  transport.Access
	scopes  []string
	maxBody int64
	strict  bool
	errors  []ErrorType
}

func newContract(text string, req reflect.Type, access transport.Access, scopes []string,
	declared []ErrorType) (c contract, err error) {
	c = contract{access: access, scopes: slices.Clone(scopes), errors: slices.Clone(declared)}
	if c.pattern, err = parsePattern(text); err != nil {
		return c, err
	}
	if access == transport.Public && len(scopes) > 0 {
		return c, fmt.Errorf("it is public, so that nobody would check the scopes %q", scopes)
	}
	if err := checkErrors(declared); err != nil {
		return c, err
	}
	c.plan, err = newPlan(req, c.pattern)
	return c, err
}

// Pattern returns the pattern as it was declared, such as "GET /users/{id}".
func (c *contract) Pattern() string { return c.pattern.text }

// Method returns the pattern's method, for routers that take it apart from the path.
func (c *contract) Method() string { return c.pattern.method }

// Path returns the pattern's path, such as "/users/{id}", for routers that take it apart from the method.
func (c *contract) Path() string { return c.pattern.route }

// String returns the pattern.
func (c *contract) String() string { return c.pattern.text }

// HandlerOptions fit a handler to the router that it is mounted on.
type HandlerOptions struct {
	// PathValue returns the value, unescaped, that the router found for the wildcard of that name in the path. Nil
	// means r.PathValue(name), which http.ServeMux and chi fill in. Where r.URL.RawPath is set, chi and others leave
	// the value escaped.
	PathValue func(r *http.Request, name string) string
}

type pathValueFunc = func(*http.Request, string) string

func pathValueOf(o *HandlerOptions) pathValueFunc {
	if o == nil {
		return nil
	}
	return o.PathValue
}

// begin tells the server which route it is, and holds the verified caller against the contract.
func (c *contract) begin(ctx context.Context, state *reqstate.State) error {
	if state != nil {
		state.SetRoute(c.pattern.route)
	}
	return c.authorize(ctx, state)
}

// authorize holds the verified caller against the contract's rule.
func (c *contract) authorize(ctx context.Context, state *reqstate.State) error {
	if c.access == transport.Public || state != nil && state.IsOpen() {
		return nil
	}
	p, ok := auth.FromContext(ctx)
	switch {
	case !ok:
		return transport.Errorf(transport.Unauthenticated, "valid credentials are required")
	case c.access != transport.Authenticated && p.Kind != auth.KindService:
		return transport.Errorf(transport.PermissionDenied, "for services only")
	}
	for _, scope := range c.scopes {
		if !p.HasScope(scope) {
			return transport.Errorf(transport.PermissionDenied, "the scope %q is missing", scope)
		}
	}
	return nil
}
