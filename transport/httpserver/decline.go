package httpserver

import (
	"errors"
	"net/http"
	"time"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// decline answers a request that is not served, and tells the access log.
func decline(w http.ResponseWriter, r *http.Request, status int, err *transport.Error) {
	if state := reqstate.From(r.Context()); state != nil {
		state.Fail(err)
	}
	problem.Write(w, r, status, err)
}

// seconds rounds up: a client that comes a moment too early comes in vain.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// refuse answers for err: 401 for a missing or bad credential, always with the same body, 503 for one that could not
// be checked.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNoCredential):
		w.Header().Set("WWW-Authenticate", "Bearer")
	case errors.Is(err, auth.ErrInvalidToken):
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	case reqstate.CallerLeft(r.Context()):
		problem.Write(w, r, statusCallerLeft, transport.Errorf(transport.Canceled, "the caller went away"))
		return
	default:
		problem.Write(w, r, http.StatusServiceUnavailable,
			transport.Errorf(transport.Unavailable, "credentials cannot be checked now"))
		return
	}
	problem.Write(w, r, http.StatusUnauthorized,
		transport.Errorf(transport.Unauthenticated, "valid credentials are required"))
}
