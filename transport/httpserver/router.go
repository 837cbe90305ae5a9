package httpserver

import (
	"net/http"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

// routing is what a recorder needs to know a mux's own answer. Its zero value knows none.
type routing struct {
	next http.Handler
	req  *http.Request
}

// refused writes the problem that stands for a mux's own 404 or 405 in place of its text, which comes next and is left
// out; headers such as Allow stay. It asks the mux again whether it has a handler: that costs only requests that end so,
// and a handler's own 404 is never mistaken for the mux's.
func (rec *recorder) refused(status int) bool {
	at := rec.routing
	rec.routing = routing{}
	if at.next == nil || rec.status != 0 {
		return false
	}
	if _, refused := reach(at.next, at.req); !refused {
		return false
	}
	err := transport.Errorf(transport.NotFound, "there is nothing at this path")
	if status == http.StatusMethodNotAllowed {
		err = transport.Errorf(transport.Unimplemented, "this path does not have that method")
	}
	problem.Write(rec, at.req, status, err)
	rec.silent = true
	return true
}
