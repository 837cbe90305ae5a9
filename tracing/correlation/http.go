package correlation

import (
	"context"
	"maps"
	"net/http"
)

// Handler gives every request an ID in its context and the response exactly one [Header] with the same ID, before
// next runs. What next itself does to that header stands: one that passes on another service's answer, as
// httputil.ReverseProxy does, has to leave that one's out (in its ModifyResponse). A server of package httpserver sees
// to it by itself.
//
// The ID is the request's [Header], or its [RequestHeader] where the first is absent; it is a new one where that header
// is missing, is not [Valid], or comes more than once (two IDs are none). Inside another Handler the outer one's ID
// stays. The request's own headers are left as they came: read [FromContext], not them.
//
// It adopts anybody's ID. Where strangers call, [Trust] has a Handler that does not.
func Handler(next http.Handler) http.Handler { return Trust(nil).Handler(next) }

// Trust says whose IDs are adopted: those of requests for which it returns true. Everybody else gets a new ID, so that
// no stranger can put lines of theirs among a customer's. It is called once for each request, concurrently, and decides
// by what the caller cannot forge, such as r.TLS.VerifiedChains or the network of r.RemoteAddr. A nil Trust is true for
// all.
//
//	server.Handler = correlation.Trust(fromOurProxy).Handler(mux)
type Trust func(*http.Request) bool

// Handler is the function [Handler], but what it says of the request's ID is for those that are trusted.
func (trust Trust) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		id := FromContext(ctx)
		// The echo says that the ID is this request's: a server's base context may carry one that belongs to nobody.
		if echo := w.Header()[Header]; id == "" || len(echo) != 1 || echo[0] != id {
			id = trust.id(r)
			w.Header()[Header] = []string{id}
			r = r.WithContext(context.WithValue(ctx, contextKey{}, id))
		}
		next.ServeHTTP(w, r)
	})
}

// id returns the ID that r gets.
func (trust Trust) id(r *http.Request) string {
	if trust != nil && !trust(r) {
		return New()
	}
	return FromHeader(r.Header)
}

// FromHeader returns the ID that a request with header h gets, as the function [Handler] says.
func FromHeader(h http.Header) string {
	ids, ok := h[Header]
	if !ok {
		ids = h[RequestHeader]
	}
	if len(ids) != 1 {
		return New()
	}
	return Adopt(ids[0])
}

// Transport is an http.RoundTripper that sends the ID of the request's context along, as the request's only [Header].
// Requests whose context has none go out as they are. The zero value is ready; it is safe for concurrent use when Base
// is.
type Transport struct {
	// Base sends the request. Nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip sends r, or a copy of it that has the header: r itself is never changed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	id := FromContext(r.Context())
	if id == "" {
		return base.RoundTrip(r)
	}
	// A shallow copy and a map of its own: the values stay shared, and are only read.
	out := r.WithContext(r.Context())
	out.Header = make(http.Header, len(r.Header)+1)
	maps.Copy(out.Header, r.Header)
	out.Header[Header] = []string{id}
	return base.RoundTrip(out)
}
