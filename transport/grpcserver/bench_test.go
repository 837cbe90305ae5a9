package grpcserver_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// headerStream takes what an interceptor sends along, as the library's own does.
type headerStream struct{ md metadata.MD }

func (s *headerStream) Method() string                 { return "/" + unaryMethod }
func (s *headerStream) SetHeader(md metadata.MD) error { s.md = metadata.Join(s.md, md); return nil }
func (s *headerStream) SendHeader(metadata.MD) error   { return nil }
func (s *headerStream) SetTrailer(metadata.MD) error   { return nil }

// BenchmarkObserve is the cost of the pass for one unary call, without the wire.
func BenchmarkObserve(b *testing.B) {
	o := grpcserver.Observe(&grpcserver.ObserveOptions{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs(
		"x-correlation-id", "01926b0c-7b1f-7000-8000-000000000000",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"content-type", "application/grpc", ":authority", "catalog:9090", "user-agent", "grpc-go",
	))
	info := &grpc.UnaryServerInfo{FullMethod: "/" + unaryMethod}
	res := &testpb.SimpleResponse{}
	handler := func(context.Context, any) (any, error) { return res, nil }
	b.ReportAllocs()
	for b.Loop() {
		ctx := grpc.NewContextWithServerTransportStream(ctx, &headerStream{})
		if _, err := o.Unary(ctx, nil, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAuthenticate is the cost of finding the token and the rule; checking the token is the verifier's.
func BenchmarkAuthenticate(b *testing.B) {
	a := grpcserver.Authenticate(tokens, nil)
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("authorization", "Bearer service"))
	info := &grpc.UnaryServerInfo{FullMethod: "/" + unaryMethod}
	handler := func(context.Context, any) (any, error) { return nil, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Unary(ctx, nil, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}

// endless is a stream of messages without a wire.
type endless struct {
	grpc.ServerStream
	ctx context.Context
}

func (s endless) Context() context.Context { return s.ctx }
func (s endless) RecvMsg(any) error        { return nil }
func (s endless) SendMsg(any) error        { return nil }

// BenchmarkMessage is the cost of the pass for one message of a stream, in and out.
func BenchmarkMessage(b *testing.B) {
	o := grpcserver.Observe(&grpcserver.ObserveOptions{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	info := &grpc.StreamServerInfo{FullMethod: "/" + streamMethod}
	b.ReportAllocs()
	err := o.Stream(b, endless{ctx: b.Context()}, info, func(_ any, ss grpc.ServerStream) error {
		for b.Loop() {
			if err := errors.Join(ss.RecvMsg(nil), ss.SendMsg(nil)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
