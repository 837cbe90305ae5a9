package grpcserver

import (
	"context"

	"google.golang.org/grpc"
)

// Interceptor is one interceptor for both kinds of calls. Give both halves to a server, or the whole to a [Server]:
//
//	o := grpcserver.Observe(nil)
//	s := grpc.NewServer(grpc.ChainUnaryInterceptor(o.Unary), grpc.ChainStreamInterceptor(o.Stream))
type Interceptor struct {
	Unary  grpc.UnaryServerInterceptor  // for calls of one request and one answer
	Stream grpc.StreamServerInterceptor // for all other calls
}

// chain returns several interceptors as one, the first outermost; that of none has no halves.
func chain(is []Interceptor) Interceptor {
	switch len(is) {
	case 0:
		return Interceptor{}
	case 1:
		return is[0]
	}
	first, rest := is[0], chain(is[1:])
	return Interceptor{
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return first.Unary(ctx, req, info, func(ctx context.Context, req any) (any, error) {
				return rest.Unary(ctx, req, info, next)
			})
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return first.Stream(srv, ss, info, func(srv any, ss grpc.ServerStream) error {
				return rest.Stream(srv, ss, info, next)
			})
		},
	}
}
