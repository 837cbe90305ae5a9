package health

import (
	"net/http"

	"github.com/mainstay-go/mainstay/transport"
)

// face is a handler that tells a server to let probes in without a credential: orchestrators have none.
type face func(http.ResponseWriter, *http.Request)

func (f face) ServeHTTP(w http.ResponseWriter, r *http.Request) { f(w, r) }

// Access returns transport.Public.
func (f face) Access() transport.Access { return transport.Public }

// NeverShed returns true: a process that sheds its probes is killed for being busy.
func (f face) NeverShed() bool { return true }
