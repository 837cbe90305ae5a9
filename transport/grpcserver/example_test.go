package grpcserver_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
	"github.com/mainstay-go/mainstay/transport/health"
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

// A server that has so much room, gives each caller a quota, and gets calls while its database answers.
func ExampleServer() {
	bySubject := func(ctx context.Context, _ string) string {
		caller, _ := auth.FromContext(ctx)
		return caller.Subject
	}
	checks := health.New(nil, health.Check{Name: "database", Check: func(context.Context) error { return nil }})
	shedder := resilience.NewShedder(&resilience.ShedderOptions{Limit: 500})
	limiter := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 100})

	srv := grpcserver.New(&grpcserver.Options{
		Addr:         "127.0.0.1:0",
		Verifier:     verifier(),
		Health:       checks,
		BeforeAuth:   []grpcserver.Interceptor{grpcserver.Shed(shedder, nil)},
		Interceptors: []grpcserver.Interceptor{grpcserver.RateLimit(limiter, &grpcserver.RateLimitOptions{Key: bySubject})},
		Registerer:   prometheus.NewRegistry(),
	})
	testpb.RegisterTestServiceServer(srv, stock{})

	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }() // mainstay.Run(ctx, nil, checks, srv) in a program
	<-srv.Ready()
	conn, err := grpc.NewClient(srv.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	res, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	fmt.Println(res.GetStatus(), err)

	conn.Close()
	cancel()
	fmt.Println(<-ran)
	// Output:
	// SERVING <nil>
	// <nil>
}

// verifier stands for one of package auth/jwt.
func verifier() auth.Verifier {
	return auth.VerifierFunc(func(context.Context, string) (auth.Principal, error) {
		return auth.Principal{}, auth.ErrInvalidToken
	})
}
