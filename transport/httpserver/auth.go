package httpserver

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// AuthOptions say who needs no credential.
type AuthOptions struct {
	// Public says which requests without a credential pass, beside those that reach a public endpoint of an
	// http.ServeMux. It is asked before routing: match paths exactly. Nil means no others.
	Public func(*http.Request) bool
}

// Authenticate returns a middleware that lets a request pass with its caller in auth.FromContext, or answers 401 where
// its bearer token is bad, and 503 where v could not check it. All refused requests get the same answer; the reason
// goes to the access log.
//
// A request without a bearer token passes without a caller, if it is public: where the next handler is an
// *http.ServeMux, whatever it leads to that says so, which are public httpapi endpoints, handlers marked by [Public],
// and the mux's own 404 and 405; and what the options name. Other requests without a token get 401. A handler
// of another package between this middleware and the mux hides the mux from it.
//
// [Server] does the same by itself. v must not be nil.
func Authenticate(v auth.Verifier, o *AuthOptions) func(http.Handler) http.Handler {
	a := &authenticator{verifier: v}
	if o != nil {
		a.public = o.Public
	}
	return func(next http.Handler) http.Handler {
		return layer{next, a.serve}
	}
}

func (a *authenticator) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	ctx, known, err := a.identify(r.Context(), r)
	if err == nil && !known && !a.admits(r, next) {
		err = errNoCredential
	}
	if err != nil {
		if state := reqstate.From(r.Context()); state != nil {
			state.Fail(err)
		}
		refuse(w, r, err)
		return
	}
	if !known {
		next.ServeHTTP(w, r)
		return
	}
	under(ctx, w, r, next)
}

// Public marks h as open to anybody, for [Server] and [Authenticate]. The mark holds where h itself is registered
// with the mux, not inside of another handler.
func Public(h http.Handler) http.Handler { return publicHandler{h} }

type publicHandler struct{ http.Handler }

func (publicHandler) Access() transport.Access { return transport.Public }

type authenticator struct {
	verifier auth.Verifier
	public   func(*http.Request) bool
}

// errNoCredential is for the log.
var errNoCredential = errors.New("httpserver: no bearer token")

// identify returns ctx with the caller whose token r has, ctx itself where r has none, or why the token is refused.
func (a *authenticator) identify(ctx context.Context, r *http.Request) (with context.Context, known bool, err error) {
	token, err := bearer(r.Header["Authorization"])
	if err != nil || token == "" {
		return ctx, false, err
	}
	p, err := a.verifier.Verify(ctx, token)
	if err != nil {
		return ctx, false, err
	}
	return auth.NewContext(ctx, p), true, nil
}

// admits reports whether r, which has no token, leads to what is public.
func (a *authenticator) admits(r *http.Request, next http.Handler) bool {
	return isPublic(next, r) || a.public != nil && a.public(r)
}

// bearer returns the token of RFC 6750, "" where there is none: no header, or one of another scheme.
func bearer(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", errBadHeader
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	if token = strings.TrimLeft(token, " "); token == "" {
		return "", errBadHeader
	}
	return token, nil
}

var errBadHeader = badHeaderError{}

// badHeaderError is a bad token though no verifier has seen it.
type badHeaderError struct{}

func (badHeaderError) Error() string        { return "httpserver: malformed or repeated Authorization header" }
func (badHeaderError) Is(target error) bool { return target == auth.ErrInvalidToken }

// isPublic reports whether r would reach a handler that is open to anybody.
func isPublic(h http.Handler, r *http.Request) bool {
	found, refused := reach(h, r)
	if refused {
		return true
	}
	marked, ok := found.(interface{ Access() transport.Access })
	return ok && marked.Access() == transport.Public
}
