package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Code classifies an [Error]. The values are those of gRPC (google.golang.org/grpc/codes), so that a Code and a
// codes.Code convert by number; [Code.HTTPStatus] gives the HTTP status that stands for it.
type Code uint32

// The codes, with the meaning that the gRPC documentation gives them.
const (
	OK                 Code = 0  // success; never the code of an Error
	Canceled           Code = 1  // the caller went away
	Unknown            Code = 2  // an error that says nothing of itself
	InvalidArgument    Code = 3  // the request can never succeed as it is
	DeadlineExceeded   Code = 4  // time ran out before the answer
	NotFound           Code = 5  // the thing asked for is not there
	AlreadyExists      Code = 6  // the thing to create is there already
	PermissionDenied   Code = 7  // the caller is known, and may not
	ResourceExhausted  Code = 8  // a quota or rate limit is used up
	FailedPrecondition Code = 9  // the system's state does not allow it; do not retry as is
	Aborted            Code = 10 // a conflict; retry from the start
	OutOfRange         Code = 11 // past the valid range
	Unimplemented      Code = 12 // no such operation here
	Internal           Code = 13 // a broken invariant of ours
	Unavailable        Code = 14 // not now; retry with back-off
	DataLoss           Code = 15 // unrecoverable loss or corruption
	Unauthenticated    Code = 16 // no valid credential
)

// codes holds each code's name on the wire and its HTTP status, as in google.rpc.Code.
var codes = [...]struct {
	name   string
	status int
}{
	OK:                 {"ok", http.StatusOK},
	Canceled:           {"canceled", 499}, // nginx's "client closed request"; net/http has no name for it
	Unknown:            {"unknown", http.StatusInternalServerError},
	InvalidArgument:    {"invalid_argument", http.StatusBadRequest},
	DeadlineExceeded:   {"deadline_exceeded", http.StatusGatewayTimeout},
	NotFound:           {"not_found", http.StatusNotFound},
	AlreadyExists:      {"already_exists", http.StatusConflict},
	PermissionDenied:   {"permission_denied", http.StatusForbidden},
	ResourceExhausted:  {"resource_exhausted", http.StatusTooManyRequests},
	FailedPrecondition: {"failed_precondition", http.StatusBadRequest},
	Aborted:            {"aborted", http.StatusConflict},
	OutOfRange:         {"out_of_range", http.StatusBadRequest},
	Unimplemented:      {"unimplemented", http.StatusNotImplemented},
	Internal:           {"internal", http.StatusInternalServerError},
	Unavailable:        {"unavailable", http.StatusServiceUnavailable},
	DataLoss:           {"data_loss", http.StatusInternalServerError},
	Unauthenticated:    {"unauthenticated", http.StatusUnauthorized},
}

// String returns the code's name on the wire, such as "not_found".
func (c Code) String() string {
	if int(c) < len(codes) {
		return codes[c].name
	}
	return fmt.Sprintf("code_%d", uint32(c))
}

// HTTPStatus returns the HTTP status that stands for c, by the table of google.rpc.Code. An unknown code is 500.
func (c Code) HTTPStatus() int {
	if int(c) < len(codes) {
		return codes[c].status
	}
	return http.StatusInternalServerError
}

// CodeFromName returns the code of a name on the wire.
func CodeFromName(name string) (Code, bool) {
	for c, d := range codes {
		if d.name == name {
			return Code(c), true
		}
	}
	return Unknown, false
}

// CodeFromHTTPStatus returns the code that an HTTP status without a coded body stands for, for answers of servers
// that do not speak this error model. It follows the gRPC mapping (doc/http-grpc-status-mapping.md) where that has
// an answer; a status of 1xx, 2xx or 3xx is OK.
func CodeFromHTTPStatus(status int) Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType:
		return InvalidArgument
	case http.StatusUnauthorized:
		return Unauthenticated
	case http.StatusForbidden:
		return PermissionDenied
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return Unimplemented
	case http.StatusConflict:
		return Aborted
	case http.StatusPreconditionFailed, http.StatusPreconditionRequired:
		return FailedPrecondition
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return DeadlineExceeded
	case http.StatusTooManyRequests:
		return ResourceExhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return Unavailable
	case 499:
		return Canceled
	}
	switch {
	case status < 400:
		return OK
	case status < 500:
		return FailedPrecondition
	case status < 600:
		return Internal
	}
	return Unknown
}

// FieldViolation names one field of a request and what is wrong with it, in words that are safe to send.
type FieldViolation struct {
	Field       string `json:"field"`       // a parameter's name, "X-Tenant", or a JSON pointer (RFC 6901), "/items/0/sku"
	Description string `json:"description"` // what is wrong, with the limit: "must be at most 100"
}

// Error is the one error that crosses every wire. Its Code, Message, Fields and Delay are sent to the caller; its
// cause is not: it is for the log of the process that made it. Clients return the same *Error that the server
// built, less the cause and with Remote set, so that errors.As(err, &e) works on both ends.
type Error struct {
	Code    Code             // what kind of failure; never OK, its zero value, which is sent as Unknown
	Message string           // safe to send
	Fields  []FieldViolation // what is wrong with the request, field by field
	// Delay is how long the caller should wait before it tries again (Retry-After, RetryInfo). Zero says nothing.
	Delay time.Duration
	// Remote is set by clients: the error came over a wire from somebody else. See [AsError].
	Remote bool
	cause  error
}

// NewError returns an Error of code with a message that is safe to send. A cause, where given, is found by
// errors.Is and errors.As in this process and never sent.
func NewError(code Code, message string, cause error) *Error {
	return &Error{Code: code, Message: message, cause: cause}
}

// Errorf is NewError with a formatted message, which is sent: use %w nowhere in it, give causes to NewError.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid returns an InvalidArgument error that names the fields at fault.
func Invalid(fields ...FieldViolation) *Error {
	return &Error{Code: InvalidArgument, Message: "the request is not valid", Fields: fields}
}

// Error returns "code: message: cause" with the first field violation where there is one. It is for logs; what is
// sent is Message alone.
func (e *Error) Error() string {
	s := e.Code.String() + ": " + e.Message
	if len(e.Fields) > 0 {
		s += ": " + e.Fields[0].Field + ": " + e.Fields[0].Description
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause, nil where there is none.
func (e *Error) Unwrap() error { return e.cause }

// Retryable reports whether the same request may succeed later: Unavailable, ResourceExhausted, Aborted and
// DeadlineExceeded may, and so may what says nothing of itself (Unknown, Internal, Canceled).
func (e *Error) Retryable() bool {
	switch e.Code {
	case InvalidArgument, NotFound, AlreadyExists, PermissionDenied, FailedPrecondition, OutOfRange, Unimplemented,
		DataLoss, Unauthenticated:
		return false
	}
	return true
}

// RetryAfter returns Delay, in the shape that package resilience asks errors for.
func (e *Error) RetryAfter() time.Duration { return e.Delay }

// AsError returns what a server sends for err: the *Error in its chain, else the one that stands for it.
//
//   - An error that asks for a wait, by a method RetryAfter() time.Duration that returns more than zero (an open
//     circuit breaker does), is Unavailable with that Delay.
//   - context.Canceled is Canceled, context.DeadlineExceeded is DeadlineExceeded.
//   - Anything else is Internal, with a message that tells the caller nothing of err.
//
// A Remote error passes on as it is, with three exceptions. Unauthenticated and PermissionDenied were about this
// process's credential, which is no matter of its caller's: Internal. Canceled means that the callee gave up, not
// that the caller left: Unavailable. An Error whose Code nobody set is Unknown: no error is sent as a success.
// AsError(nil) is nil.
func AsError(err error) *Error {
	var e *Error
	var wait interface{ RetryAfter() time.Duration }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e.passedOn(err)
	case errors.As(err, &wait) && wait.RetryAfter() > 0:
		e = NewError(Unavailable, "not available now", err)
		e.Delay = wait.RetryAfter()
		return e
	case errors.Is(err, context.Canceled):
		return NewError(Canceled, "the caller went away", err)
	case errors.Is(err, context.DeadlineExceeded):
		return NewError(DeadlineExceeded, "time ran out", err)
	}
	return NewError(Internal, "internal error", err)
}

// passedOn returns what this process sends where e is the coded error of err's chain.
func (e *Error) passedOn(err error) *Error {
	if e.Code == OK {
		coded := *e
		coded.Code, coded.cause = Unknown, err
		return &coded
	}
	if !e.Remote {
		return e
	}
	switch e.Code {
	case Unauthenticated, PermissionDenied:
		return NewError(Internal, "internal error", err)
	case Canceled:
		return NewError(Unavailable, "not available now", err)
	}
	return e
}
