package health

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/mainstay-go/mainstay/transport"
)

// face is a handler that tells a server to let probes in without a credential: orchestrators have none.
type face func(http.ResponseWriter, *http.Request)

func (f face) ServeHTTP(w http.ResponseWriter, r *http.Request) { f(w, r) }

// Access returns transport.Public.
func (f face) Access() transport.Access { return transport.Public }

// NeverShed returns true: a process that sheds its probes is killed for being busy.
func (f face) NeverShed() bool { return true }

// Liveness returns a handler that always answers 200.
func (h *Checks) Liveness() http.Handler {
	return face(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, answer{Status: "ok"})
	})
}

// Startup returns a handler that answers 200 or 503, as the package comment says. Draining does not change it.
func (h *Checks) Startup() http.Handler {
	return face(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if h.starting() {
			_, err = h.round(r.Context())
		}
		if err == nil && h.starting() {
			err = errNotReady
		}
		status, a := verdict(err)
		write(w, status, a)
	})
}

// Readiness returns a handler that answers 200 or 503, as the package comment says, and tells nothing of the checks.
func (h *Checks) Readiness() http.Handler {
	return face(func(w http.ResponseWriter, r *http.Request) {
		_, err := h.ready(r.Context())
		status, a := verdict(err)
		write(w, status, a)
	})
}

// Details returns [Checks.Readiness] with the checks by name, each "ok", "failing" or "timeout", for a port that
// strangers do not reach: the names tell what the process depends on. A server that authenticates asks for a
// credential, unlike for the others.
func (h *Checks) Details() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		states, err := h.ready(r.Context())
		status, a := verdict(err)
		a.Checks = states
		write(w, status, a)
	})
}

func verdict(err error) (status int, a answer) {
	switch {
	case err == nil:
		return http.StatusOK, answer{Status: "ok"}
	case errors.Is(err, errDraining):
		return http.StatusServiceUnavailable, answer{Status: "draining"}
	}
	return http.StatusServiceUnavailable, answer{Status: "unavailable"}
}

type answer struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

func write(w http.ResponseWriter, status int, a answer) {
	body, err := json.Marshal(a)
	if err != nil {
		status = http.StatusInternalServerError // strings always encode
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(slices.Concat(body, []byte("\n")))
}
