package idempotency

import (
	"errors"
	"net/http"
	"time"

	"github.com/mainstay-go/mainstay/transport"
)

// ErrLeaseLost is the cause of the end of a handler's context (context.Cause) where the database could not be told in
// time that the handler still runs: another process may be at work on the same key.
var ErrLeaseLost = errors.New("idempotency: the lease is lost")

// retryAfter is what a client is asked to wait: handlers take less, as a rule.
const retryAfter = time.Second

// refusal is an answer whose status its code does not give.
type refusal struct {
	status int
	sent   *transport.Error
}

func (e *refusal) Error() string { return e.sent.Error() }
func (e *refusal) Unwrap() error { return e.sent }

// HTTPStatus is what httpapi.WriteError asks for.
func (e *refusal) HTTPStatus() int { return e.status }

func invalidKey(what string) error {
	return transport.Invalid(transport.FieldViolation{Field: transport.HeaderIdempotencyKey, Description: what})
}

// mismatch answers a key that belongs to another request.
func mismatch() error {
	return &refusal{http.StatusUnprocessableEntity, transport.NewError(transport.InvalidArgument,
		"the Idempotency-Key was used for another request", nil)}
}

// inFlight answers a request whose twin is being handled.
func inFlight() error {
	e := transport.NewError(transport.Aborted, "a request with this Idempotency-Key is being handled", nil)
	e.Delay = retryAfter
	return e
}

// notKept answers a request whose twin's answer was too large.
func notKept() error {
	return transport.NewError(transport.AlreadyExists,
		"the request was handled before, and its answer was too large to be kept", nil)
}

// unavailable answers a request that the database kept from being handled, or from being known to have been.
func unavailable(err error) error {
	e := transport.NewError(transport.Unavailable, "not available now", err)
	e.Delay = retryAfter
	return e
}

// busy answers a request whose transaction met too many others.
func busy(err error) error {
	e := transport.NewError(transport.Aborted, "too many requests for the same thing at once", err)
	e.Delay = retryAfter
	return e
}
