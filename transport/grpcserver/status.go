package grpcserver

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// resetSlack is how long before a call's deadline a reset from its caller still means that time ran out. Both sides
// count the same time, and what the caller sends at its end is as long on the way as the deadline was.
const resetSlack = 10 * time.Millisecond

// statusOf returns what is sent for the error of a call whose handler had ctx. Where ctx ended, a failure that is not
// said to be another is only its consequence: drivers have words of their own for a cancelled query.
func statusOf(ctx context.Context, err error, cutOff bool) *status.Status {
	if err == nil {
		return nil
	}
	st := sent(ctx, err, cutOff)
	if ctx.Err() == nil {
		return st
	}
	late := outOfTime(ctx)
	switch st.Code() {
	case codes.Unknown, codes.Internal, codes.Canceled:
		if late {
			return rpc.ToStatus(transport.Errorf(transport.DeadlineExceeded, "time ran out"))
		}
	case codes.Unavailable, codes.DeadlineExceeded:
		if late {
			return st
		}
	default:
		return st
	}
	return rpc.ToStatus(canceled(cutOff))
}

// outOfTime reports whether ctx, which has ended, did so by its deadline.
func outOfTime(ctx context.Context) bool {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return true
	}
	at, ok := ctx.Deadline()
	return ok && time.Until(at) <= resetSlack
}

// canceled is what the end of a call's context means, other than by its deadline.
func canceled(cutOff bool) *transport.Error {
	if cutOff {
		return transport.Errorf(transport.Unavailable, "the server is stopping")
	}
	return transport.Errorf(transport.Canceled, "the caller went away")
}

// sent returns the status of err: by transport.AsError, but for an error that brings a status of its own, which is
// sent as it is, without the text that was wrapped around it.
func sent(ctx context.Context, err error, cutOff bool) *status.Status {
	var coded *transport.Error
	var own interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &coded) && errors.As(err, &own) {
		if st := own.GRPCStatus(); st.Code() != codes.OK {
			return st
		}
	}
	e := transport.AsError(err)
	if e.Code != transport.Canceled {
		return rpc.ToStatus(e)
	}
	if ctx.Err() == nil {
		// Something of ours was cancelled, not the call.
		return rpc.ToStatus(transport.Errorf(transport.Internal, "internal error"))
	}
	return rpc.ToStatus(canceled(cutOff))
}

// isFailure reports whether the server is at fault, by the table that the semantic conventions have for the status of
// gRPC server spans.
func isFailure(c codes.Code) bool {
	switch c {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return rpc.Known(c) != c
}
