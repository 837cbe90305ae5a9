package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// statusError is an error whose HTTP status its code does not give.
type statusError struct {
	status int
	sent   *transport.Error
}

func (e *statusError) Error() string   { return e.sent.Error() }
func (e *statusError) Unwrap() error   { return e.sent }
func (e *statusError) HTTPStatus() int { return e.status }

// WriteError sends err as RFC 9457 problem details, by the rules of transport.AsError, and tells the server about
// it, whose access log holds the cause. An *http.MaxBytesError is a 413 after which an HTTP/1 connection closes. A
// 401 carries a Bearer challenge. It is for handlers that are no endpoints; endpoints call it themselves. Call it
// before anything is written.
//
// A status that no code stands for (422, say) is sent for an error around a transport.Error that has a method
// HTTPStatus() int; one that is not of 4xx or 5xx is passed over.
//
// A cancelled operation is "client closed request" (499) only where r's context says that its caller went away. A
// server whose time-out ended it says so (504), and one that cuts the request off is unavailable (503); while nobody
// has cancelled r, it is a failure of ours (500).
func WriteError(w http.ResponseWriter, r *http.Request, err error) { writeError(w, r, err, nil) }

// writeError is WriteError for a contract that declares error types.
func writeError(w http.ResponseWriter, r *http.Request, err error, declared []ErrorType) {
	if state := reqstate.From(r.Context()); state != nil {
		state.Fail(err)
	}
	e, status, extension := sentAs(r.Context(), err, declared)
	switch status {
	case http.StatusUnauthorized:
		if w.Header().Get("WWW-Authenticate") == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
	case http.StatusRequestEntityTooLarge:
		// In HTTP/2 the header would end the whole connection with its other streams.
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
	}
	problem.WriteTyped(w, r, status, e, extension)
}

// sentAs returns what err is to the caller, by a declared type where it is of one.
func sentAs(ctx context.Context, err error, declared []ErrorType) (*transport.Error, int, *problem.Extension) {
	if e, extension := declaredIn(err, declared); extension != nil {
		return e, e.Code.HTTPStatus(), extension
	}
	e, status := asSent(ctx, err)
	return e, status, nil
}

// asSent returns what err is to the caller.
func asSent(ctx context.Context, err error) (*transport.Error, int) {
	var large *http.MaxBytesError
	if sent, status := withStatus(err); sent != nil {
		return sent, status
	}
	if errors.As(err, &large) {
		return transport.Errorf(transport.InvalidArgument, "the body is larger than %d bytes", large.Limit),
			http.StatusRequestEntityTooLarge
	}
	e := transport.AsError(err)
	switch {
	case e.Code != transport.Canceled || reqstate.CallerLeft(ctx):
	case ctx.Err() == nil:
		e = transport.NewError(transport.Internal, "internal error", err)
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		e = transport.NewError(transport.DeadlineExceeded, "time ran out", err) // a server's time-out, which streams lift
	default:
		e = transport.NewError(transport.Unavailable, "not available now", err)
	}
	return e, e.Code.HTTPStatus()
}

// withStatus returns the error, and the status, of one that brings a status of its own, and nil for any other: a method
// of somebody else's error, around no transport.Error, says nothing about our answer.
func withStatus(err error) (*transport.Error, int) {
	other, ok := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err)
	if !ok || other.HTTPStatus() < 400 || other.HTTPStatus() > 599 {
		return nil, 0
	}
	sent, ok := errors.AsType[*transport.Error](other)
	if !ok || sent.Remote {
		return nil, 0
	}
	return sent, other.HTTPStatus()
}
