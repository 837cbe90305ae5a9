package grpcclient_test

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// stock stands for a service of generated code.
type stock struct {
	testpb.UnimplementedTestServiceServer
}

func (stock) UnaryCall(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return nil, transport.Invalid(transport.FieldViolation{Field: "sku", Description: "is required"})
}

// The error that the server made is the error that the client gets.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	srv := grpcserver.New(&grpcserver.Options{Addr: "127.0.0.1:0", Unauthenticated: true})
	testpb.RegisterTestServiceServer(srv, stock{})
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }()
	<-srv.Ready()

	conn, err := grpcclient.New(srv.Addr(), &grpcclient.Options{
		Insecure:   true, // a loopback address; leave it out elsewhere
		Policy:     resilience.New("stock", nil),
		Idempotent: []string{testpb.TestService_UnaryCall_FullMethodName},
	})
	if err != nil {
		panic(err)
	}
	_, err = testpb.NewTestServiceClient(conn).UnaryCall(ctx, &testpb.SimpleRequest{})
	var e *transport.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, e.Fields, e.Remote)
	}

	conn.Close()
	cancel()
	<-ran
	// Output: invalid_argument [{sku is required}] true
}

// A connection that is there already takes the same as an interceptor.
func ExampleIntercept() {
	kit, err := grpcclient.Intercept(nil)
	if err != nil {
		panic(err)
	}
	conn, err := grpc.NewClient("catalog:9090",
		grpc.WithTransportCredentials(credentials.NewTLS(nil)),
		grpc.WithChainUnaryInterceptor(kit.Unary), grpc.WithChainStreamInterceptor(kit.Stream))
	if err != nil {
		panic(err)
	}
	fmt.Println(conn.Target())
	conn.Close()
	// Output: catalog:9090
}
