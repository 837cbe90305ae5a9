package grpcclient

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// coded returns the error of a call with ctx as one in which errors.As finds a *transport.Error, and package status
// the status that it came from. Nil stays nil.
func coded(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *transport.Error
	if errors.As(err, &e) {
		return rpc.Wrap(err, rpc.ToStatus(e))
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	switch c := st.Code(); {
	case ctx.Err() != nil && (c == codes.Canceled || c == codes.DeadlineExceeded):
		return rpc.Wrap(rpc.Local(ctx, c), st) // it was ours to end, and did not come over the wire
	default:
		return rpc.Wrap(rpc.FromStatus(st), st)
	}
}
