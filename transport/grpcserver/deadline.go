package grpcserver

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/mainstay-go/mainstay/transport"
)

// Deadline returns an interceptor that gives each call at most limit, streams all their messages together; one whose
// caller will wait less long keeps the caller's deadline. A limit <= 0 leaves only the caller's. The failure of a
// handler whose time has passed is DeadlineExceeded, whatever words a driver has for it. The health service is left
// alone: its watches last.
//
// [Server] does the same by itself; see Timeout and StreamTimeout of [Options]. Use this one in a server that is there
// already, or for what has less time than the rest. Take one half alone for one kind of calls.
func Deadline(limit time.Duration) Interceptor {
	return Interceptor{
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if isHealth(info.FullMethod) {
				return next(ctx, req)
			}
			ctx, cancel := within(ctx, limit)
			defer cancel()
			res, err := next(ctx, req)
			return res, late(ctx, err)
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if isHealth(info.FullMethod) {
				return next(srv, ss)
			}
			ctx, cancel := within(ss.Context(), limit)
			defer cancel()
			return late(ctx, next(srv, &stream{ServerStream: ss, ctx: ctx}))
		},
	}
}

// late returns the error of a handler that had ctx. Where its time ran out, a failure that is not said to be another is
// its consequence.
func late(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || statusOf(ctx, err, false).Code() != codes.DeadlineExceeded {
		return err
	}
	return coded(transport.NewError(transport.DeadlineExceeded, "time ran out", err))
}

// within returns a context that ends within timeout, zero being never. It is ctx itself where ctx ends no later anyway:
// that costs nothing.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return ctx, func() {}
	}
	if own, ok := ctx.Deadline(); ok && time.Until(own) <= timeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}
