package httpserver

import (
	"context"
	"net/http"
)

// layer is a middleware's handler that can be seen through: what asks the mux below where a request leads finds it.
type layer struct {
	next  http.Handler
	serve func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func (l layer) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.serve(w, r, l.next) }

// under serves r with ctx. The copy of r that this takes is the one that a mux below tells the pattern; r has it, too, in
// the end, or the layers outside would know no route.
func under(ctx context.Context, w http.ResponseWriter, r *http.Request, next http.Handler) {
	inner := r.WithContext(ctx)
	defer func() { r.Pattern = inner.Pattern }() // of a handler that panics, too
	next.ServeHTTP(w, inner)
}

// maxDepth bounds how deep reach looks into muxes and layers.
const maxDepth = 32

// reach returns the handler that r would come to through layers and muxes, or nil and true where a mux would answer
// itself that there is none: 404 or 405.
func reach(h http.Handler, r *http.Request) (found http.Handler, refused bool) {
	for range maxDepth {
		switch at := h.(type) {
		case layer:
			h = at.next
		case *http.ServeMux:
			next, pattern := at.Handler(r)
			if pattern == "" {
				return nil, true
			}
			h = next
		default:
			return h, false
		}
	}
	return nil, false
}
