package grpcserver

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// Validate returns an interceptor that asks each message which comes in, the request of a unary call and every message
// of a stream, for its method Validate() error, where it has one. An error refuses the call, or is what the stream's
// handler gets from its Recv: InvalidArgument, with the error's text, which is sent, as the message; a transport.Error
// stays what it is. Errors that have the methods Field() string and Reason() string, as those of protoc-gen-validate
// do, become field violations, also several that were joined.
//
// [Server] does this by itself.
func Validate() Interceptor {
	return Interceptor{
		Unary: func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := validate(req); err != nil {
				return nil, coded(err)
			}
			return next(ctx, req)
		},
		Stream: func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(srv, validatedStream{ss})
		},
	}
}

// validatedStream is a stream whose messages are validated.
type validatedStream struct{ grpc.ServerStream }

// RecvMsg receives one message.
func (s validatedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if err := validate(m); err != nil {
		return coded(err)
	}
	return nil
}

// coded returns err as one that is a status to whoever asks.
func coded(err error) error { return rpc.Wrap(err, rpc.ToStatus(transport.AsError(err))) }

// validate returns what is wrong with a message that came in, as an error that holds a *transport.Error.
func validate(m any) error {
	checked, ok := m.(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := checked.Validate()
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*transport.Error](err); ok {
		return err
	}
	e := transport.NewError(transport.InvalidArgument, err.Error(), err)
	if e.Fields = violations(nil, err); len(e.Fields) > 0 {
		e.Message = transport.Invalid().Message
	}
	return e
}

// violations appends to fields what err says of single fields.
func violations(fields []transport.FieldViolation, err error) []transport.FieldViolation {
	switch e := err.(type) { //nolint:errorlint // the tree is walked by hand, for all of its leaves
	case interface {
		Field() string
		Reason() string
	}:
		return append(fields, transport.FieldViolation{Field: e.Field(), Description: e.Reason()})
	case interface{ AllErrors() []error }: // of ValidateAll
		for _, one := range e.AllErrors() {
			fields = violations(fields, one)
		}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			fields = violations(fields, one)
		}
	case interface{ Unwrap() error }:
		return violations(fields, e.Unwrap())
	}
	return fields
}
