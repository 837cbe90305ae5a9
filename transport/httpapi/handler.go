package httpapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// handler serves one endpoint.
type handler[Req, Res any] struct {
	e         *Endpoint[Req, Res]
	f         func(context.Context, Req) (Res, error)
	pathValue pathValueFunc // nil is r.PathValue
}

// Handler returns the http.Handler that decodes a Req, calls f and sends what it returns. Mount it under the endpoint's
// [Endpoint.Method] and [Endpoint.Path] on a router that [Handle] does not fit. Nil options are defaults.
//
// It enforces the endpoint's access rule by the principal that auth.FromContext finds, which httpserver.Server and
// httpserver.Authenticate put there. Only a server whose options say Unauthenticated lets everybody in; under any
// other server an endpoint that is not Public answers 401 where there is no principal.
func (e *Endpoint[Req, Res]) Handler(f func(context.Context, Req) (Res, error), o *HandlerOptions) http.Handler {
	return &handler[Req, Res]{e, f, pathValueOf(o)}
}

// Access tells a server whom to let through without a credential.
func (h *handler[Req, Res]) Access() transport.Access { return h.e.access }

func (h *handler[Req, Res]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := reqstate.From(r.Context())
	if err := h.e.begin(r.Context(), state); err != nil {
		WriteError(w, r, err)
		return
	}
	var req Req
	form, err := h.e.bind(w, r, state, reflect.ValueOf(&req), h.pathValue)
	if form != nil {
		defer form.RemoveAll() //nolint:errcheck // the system clears its folder for temporary files
	}
	if err != nil {
		WriteError(w, r, err)
		return
	}
	res, err := h.f(r.Context(), req)
	if err != nil {
		writeError(w, r, err, h.e.errors)
		return
	}
	h.e.respond(w, r, &res)
}
