package httpserver

import "net/http"

// layer is a middleware's handler that can be seen through: what looks for the mux below, to learn whether a request
// without a credential leads to something public, finds it.
type layer struct {
	next  http.Handler
	serve func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func (l layer) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.serve(w, r, l.next) }

// below returns the innermost handler that is no layer.
func below(h http.Handler) http.Handler {
	for {
		l, ok := h.(layer)
		if !ok {
			return h
		}
		h = l.next
	}
}
