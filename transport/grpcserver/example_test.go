package grpcserver_test

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// stock stands for a service of generated code.
type stock struct {
	testpb.UnimplementedTestServiceServer
}

func (stock) UnaryCall(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return nil, transport.Errorf(transport.NotFound, "no such fish")
}

// A new service: register, run, and end with the context.
func Example() {
	srv := grpcserver.New(&grpcserver.Options{
		Addr:     "127.0.0.1:0",
		Verifier: verifier(),
		Rules: map[string]grpcserver.Rule{
			testpb.TestService_UnaryCall_FullMethodName: {Access: transport.Public},
		},
	})
	testpb.RegisterTestServiceServer(srv, stock{})

	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }() // mainstay.Run(ctx, nil, srv) in a program
	<-srv.Ready()

	conn, err := grpc.NewClient(srv.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	_, err = testpb.NewTestServiceClient(conn).UnaryCall(ctx, &testpb.SimpleRequest{})
	fmt.Println(status.Code(err), status.Convert(err).Message())
	_, err = testpb.NewTestServiceClient(conn).EmptyCall(ctx, &testpb.Empty{})
	fmt.Println(status.Code(err), status.Convert(err).Message())

	conn.Close()
	cancel()
	fmt.Println(<-ran)
	// Output:
	// NotFound no such fish
	// Unauthenticated valid credentials are required
	// <nil>
}

// A server that is there already takes one interceptor today, and another when its callers have tokens.
func ExampleObserve() {
	observe := grpcserver.Observe(nil)
	authenticate := grpcserver.Authenticate(verifier(), nil)
	srv := grpc.NewServer(
		grpc.ChainUnaryInterceptor(observe.Unary, authenticate.Unary),
		grpc.ChainStreamInterceptor(observe.Stream, authenticate.Stream),
	)
	testpb.RegisterTestServiceServer(srv, stock{})
	fmt.Println(len(srv.GetServiceInfo()))
	// Output: 1
}

// verifier stands for one of package auth/jwt.
func verifier() auth.Verifier {
	return auth.VerifierFunc(func(context.Context, string) (auth.Principal, error) {
		return auth.Principal{}, auth.ErrInvalidToken
	})
}
