package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// handler serves one endpoint.
type handler[Req, Res any] struct {
	e *Endpoint[Req, Res]
	f func(context.Context, Req) (Res, error)
}

// Handler returns the http.Handler that decodes a Req, calls f and sends what it returns. Mount it under a pattern
// that sets the path values of r.PathValue, as http.ServeMux and chi do.
//
// It enforces the endpoint's access rule by the principal that auth.FromContext finds, which httpserver.Server and
// httpserver.Authenticate put there. Only a server whose options say Unauthenticated lets everybody in; under any
// other server an endpoint that is not Public answers 401 where there is no principal.
func (e *Endpoint[Req, Res]) Handler(f func(ctx context.Context, req Req) (Res, error)) http.Handler {
	return &handler[Req, Res]{e, f}
}

// Access tells a server whom to let through without a credential.
func (h *handler[Req, Res]) Access() transport.Access { return h.e.opts.Access }

func (h *handler[Req, Res]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := reqstate.From(r.Context())
	if state != nil {
		state.SetRoute(h.e.pattern.route)
	}
	res, err := h.serve(w, r, state)
	if err != nil {
		WriteError(w, r, err)
		return
	}
	h.e.respond(w, r, res)
}

func (h *handler[Req, Res]) serve(w http.ResponseWriter, r *http.Request, state *reqstate.State) (res Res, err error) {
	if err := h.e.authorize(r.Context(), state); err != nil {
		return res, err
	}
	var req Req
	if err := h.e.bind(w, r, state, &req); err != nil {
		return res, err
	}
	return h.f(r.Context(), req)
}

// authorize holds the verified caller against the endpoint's rule.
func (e *Endpoint[Req, Res]) authorize(ctx context.Context, state *reqstate.State) error {
	if e.opts.Access == transport.Public || state != nil && state.IsOpen() {
		return nil
	}
	p, ok := auth.FromContext(ctx)
	switch {
	case !ok:
		return transport.Errorf(transport.Unauthenticated, "valid credentials are required")
	case e.opts.Access != transport.Authenticated && p.Kind != auth.KindService:
		return transport.Errorf(transport.PermissionDenied, "for services only")
	}
	for _, scope := range e.opts.Scopes {
		if !p.HasScope(scope) {
			return transport.Errorf(transport.PermissionDenied, "the scope %q is missing", scope)
		}
	}
	return nil
}

// bind fills req in from r and checks it.
func (e *Endpoint[Req, Res]) bind(w http.ResponseWriter, r *http.Request, state *reqstate.State, req *Req) error {
	v := reflect.ValueOf(req)
	if e.plan.body != nil {
		if err := e.readBody(w, r, state, v.Convert(e.plan.body).Interface()); err != nil {
			return err
		}
	}
	if bad := e.plan.readParams(r, v.Elem()); len(bad) > 0 {
		return transport.Invalid(bad...)
	}
	return e.validate(v.Elem(), req)
}

// validate runs the checks that a client's request must pass: required fields, then the type's own method.
func (e *Endpoint[Req, Res]) validate(v reflect.Value, req *Req) error {
	if e.plan.required != nil {
		if bad := e.plan.required.check(v, nil, nil); len(bad) > 0 {
			return transport.Invalid(bad...)
		}
	}
	checked, ok := any(req).(interface{ Validate() error })
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

// respond sends res. What fails after the header is written has nobody to be told.
func (e *Endpoint[Req, Res]) respond(w http.ResponseWriter, r *http.Request, res Res) {
	status := e.opts.Status
	if e.empty || e.pointer && reflect.ValueOf(res).IsNil() {
		if status == 0 {
			status = http.StatusNoContent
		}
		w.WriteHeader(status)
		return
	}
	if status == 0 {
		status = http.StatusOK
	}
	buf := getBuffer()
	defer putBuffer(buf)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false) // the media type says JSON, and nosniff says to believe it
	if err := enc.Encode(res); err != nil {
		WriteError(w, r, fmt.Errorf("httpapi: %q: encode the result: %w", e.pattern.text, err))
		return
	}
	h := w.Header()
	h["Content-Type"] = contentTypeJSON
	h["X-Content-Type-Options"] = nosniff
	if status == http.StatusNoContent || status == http.StatusResetContent {
		w.WriteHeader(status)
		return
	}
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}
