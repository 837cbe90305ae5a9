package rpc

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/mainstay-go/mainstay/transport"
)

const (
	// maxMessage and maxFields bound what is sent and what is kept of an error: it travels in a header, and it goes to
	// logs from outside.
	maxMessage = 1 << 10
	maxFields  = 64
	// maxFieldBytes bounds all fields together. With base64 and the message they stay below 8 KiB, which is what gRPC
	// advises everybody to accept (doc: PROTOCOL-HTTP2.md).
	maxFieldBytes = 4 << 10
	// maxDelay bounds what a callee may ask its caller to wait.
	maxDelay = 24 * time.Hour

	// domain is that of the ErrorInfo which says that a server, not the library on the way, wrote the message.
	domain = "mainstay"
)

// Error is an error with the status that it is on the wire: errors.As finds what it wraps, status.FromError the status.
type Error struct {
	err    error
	status *status.Status
}

// Wrap returns err with st as its status.
func Wrap(err error, st *status.Status) *Error { return &Error{err, st} }

// Error returns the text of the wrapped error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.err }

// GRPCStatus returns the status, in the shape that package status asks for.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// ToStatus returns what is sent for e: its code and message, its fields as BadRequest, its delay as RetryInfo. Text
// beyond the bounds is left out.
func ToStatus(e *transport.Error) *status.Status {
	code := Known(codes.Code(e.Code))
	if code == codes.OK {
		code = codes.Unknown // it is an error, whatever it says
	}
	st := status.New(code, shorten(e.Message))
	var details []protoadapt.MessageV1
	if fields := violations(e.Fields); len(fields) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: fields})
	}
	if e.Delay > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.Delay)})
	}
	if len(details) == 0 && libraryMakes(code) {
		details = append(details, &errdetails.ErrorInfo{Reason: codeNames[code], Domain: domain})
	}
	if with, err := st.WithDetails(details...); err == nil {
		return with
	}
	return st // they always encode: strings are UTF-8 and the code is not OK
}

func violations(fields []transport.FieldViolation) []*errdetails.BadRequest_FieldViolation {
	var out []*errdetails.BadRequest_FieldViolation
	size := 0
	for _, f := range fields[:min(len(fields), maxFields)] {
		v := &errdetails.BadRequest_FieldViolation{Field: shorten(f.Field), Description: shorten(f.Description)}
		if size += len(v.GetField()) + len(v.GetDescription()); size > maxFieldBytes {
			break
		}
		out = append(out, v)
	}
	return out
}

// libraryMakes reports whether gRPC itself makes statuses of code c, on either side or in between (statuscodes.md).
// Their messages tell of addresses and internals.
func libraryMakes(c codes.Code) bool {
	switch c {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted,
		codes.OutOfRange, codes.DataLoss:
		return false
	}
	return true
}

// FromStatus returns the error that a status other than OK stands for; Remote is set. The message of a status that
// the library may have made, and that no detail shows to be a server's, becomes the cause: it is for the log, not for
// whoever gets the message.
func FromStatus(st *status.Status) *transport.Error {
	code := Known(st.Code())
	if code == codes.OK {
		code = codes.Unknown
	}
	details := st.Details()
	message, cause := shorten(st.Message()), error(nil)
	if libraryMakes(code) && len(details) == 0 {
		message, cause = messageOf(code), errors.New(message)
	}
	if code == codes.DeadlineExceeded {
		cause = context.DeadlineExceeded // whichever side noticed first
	}
	e := transport.NewError(transport.Code(code), cmp.Or(message, messageOf(code)), cause)
	e.Remote = true
	for _, d := range details {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, f := range d.GetFieldViolations() {
				if len(e.Fields) < maxFields {
					e.Fields = append(e.Fields, transport.FieldViolation{
						Field: shorten(f.GetField()), Description: shorten(f.GetDescription()),
					})
				}
			}
		case *errdetails.RetryInfo:
			e.Delay = min(max(d.GetRetryDelay().AsDuration(), 0), maxDelay)
		}
	}
	return e
}

// Local returns the error of a call that ended because ctx, its caller's own, did.
func Local(ctx context.Context, c codes.Code) *transport.Error {
	return transport.NewError(transport.Code(c), messageOf(c), ctx.Err())
}

// messageOf is what a code says for itself.
func messageOf(c codes.Code) string {
	switch c {
	case codes.Canceled:
		return "the call was cancelled"
	case codes.DeadlineExceeded:
		return "time ran out"
	case codes.Unavailable:
		return "not available now"
	case codes.Internal:
		return "internal error"
	}
	return strings.ReplaceAll(transport.Code(c).String(), "_", " ")
}

// shorten cuts s at maxMessage bytes, and makes it UTF-8.
func shorten(s string) string { return strings.ToValidUTF8(clip(s, maxMessage), "?") }

// clip cuts s at n bytes, between two runes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
