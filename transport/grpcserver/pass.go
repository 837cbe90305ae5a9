package grpcserver

import (
	"context"

	"google.golang.org/grpc"

	"github.com/mainstay-go/mainstay/transport"
)

// unary is the handler of a unary method, with the pass around it.
func (s *Server) unary(m *method, next grpc.MethodHandler) grpc.MethodHandler {
	if s.before.Unary != nil {
		return s.unaryBefore(m, next)
	}
	return func(impl any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		s.active.Add(1)
		defer s.active.Add(-1)
		c := call{method: m}
		return s.obs.unary(ctx, &c, func(ctx context.Context) (any, error) {
			return s.serveUnary(ctx, &c, next, impl, decode, i)
		})
	}
}

// unaryBefore is unary with layers before authentication. It is apart because they make what it holds escape.
func (s *Server) unaryBefore(m *method, next grpc.MethodHandler) grpc.MethodHandler {
	return func(impl any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		s.active.Add(1)
		defer s.active.Add(-1)
		c := call{method: m}
		return s.obs.unary(ctx, &c, func(ctx context.Context) (any, error) {
			return s.before.Unary(ctx, nil, m.info, func(ctx context.Context, _ any) (any, error) {
				return s.serveUnary(ctx, &c, next, impl, decode, i)
			})
		})
	}
}

// serveUnary handles a unary call whose caller may make it.
func (s *Server) serveUnary(
	ctx context.Context, c *call,
	next grpc.MethodHandler, impl any, decode func(any) error, i grpc.UnaryServerInterceptor,
) (any, error) {
	ctx, err := s.admit(ctx, c)
	if err != nil {
		return nil, err
	}
	return next(impl, ctx, func(req any) error {
		if err := c.note(decode(req)); err != nil || !s.obs.validates {
			return err
		}
		return validate(req)
	}, i)
}

// admit returns ctx with the caller, or why the call is refused.
func (s *Server) admit(ctx context.Context, c *call) (context.Context, error) {
	if s.auth == nil {
		return ctx, nil
	}
	ctx, refused := s.auth.check(ctx, c.rule)
	c.ctx = ctx
	if refused != nil {
		return ctx, refused
	}
	return ctx, nil
}

// stream is the handler of a method that streams. The pass is around it already, see outermost, but where the library
// leaves interceptors out: it does for a description that says of neither side that it streams.
func (s *Server) stream(m *method, next grpc.StreamHandler) grpc.StreamHandler {
	return func(impl any, ss grpc.ServerStream) error {
		if Draining(ss.Context()) == s.draining {
			return next(impl, ss)
		}
		return s.pass(m, impl, ss, &grpc.StreamServerInfo{FullMethod: m.info.FullMethod}, next)
	}
}

// outermost is the server's first interceptor of streams: without it all others would be outside of the pass, where the
// library calls them.
func (s *Server) outermost(impl any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if isHealth(info.FullMethod) {
		return next(impl, ss)
	}
	m := s.streams[info.FullMethod]
	if m == nil {
		return s.unknown(ss, info)
	}
	return s.pass(m, impl, ss, info, next)
}

// pass has the pass around one streaming call.
func (s *Server) pass(
	m *method, impl any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	s.active.Add(1)
	defer s.active.Add(-1)
	c := call{method: m}
	return s.passStream(&c, impl, ss, info, next)
}

// unknown answers for methods that nobody registered. It calls no handler that the library has found: nobody was asked
// who may.
func (s *Server) unknown(ss grpc.ServerStream, info *grpc.StreamServerInfo) error {
	c := call{method: s.obs.other, original: info.FullMethod}
	return s.passStream(&c, nil, ss, info, noSuchMethod)
}

func noSuchMethod(any, grpc.ServerStream) error {
	return transport.Errorf(transport.Unimplemented, "no such method")
}

func (s *Server) passStream(
	c *call, impl any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	return s.obs.stream(impl, ss, c, func(impl any, ss grpc.ServerStream) error {
		if s.before.Stream == nil {
			return s.serveStream(c, impl, ss, next)
		}
		return s.before.Stream(impl, ss, info, func(impl any, ss grpc.ServerStream) error {
			return s.serveStream(c, impl, ss, next)
		})
	})
}

// serveStream handles a streaming call whose caller may make it.
func (s *Server) serveStream(c *call, impl any, ss grpc.ServerStream, next grpc.StreamHandler) error {
	ctx, err := s.admit(ss.Context(), c)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, drainingKey{}, s.draining)
	if observed, ok := ss.(*observedStream); ok {
		observed.ctx = ctx
	} else {
		ss = &stream{ServerStream: ss, ctx: ctx} // it is that of a layer before
	}
	return next(impl, ss)
}
