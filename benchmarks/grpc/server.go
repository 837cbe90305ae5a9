package main

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"
)

// server is one that runs, and a bare client of it.
type server struct {
	client testpb.TestServiceClient
	stop   func() error
}

// serve runs a server on a network in memory until it is stopped.
func serve(ctx context.Context, run func(context.Context, net.Listener) error) (*server, error) {
	ln := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- run(ctx, ln) }()
	conn, err := grpc.NewClient("passthrough:///orders",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		cancel()
		return nil, errors.Join(err, <-ran)
	}
	stop := func() error {
		err := conn.Close()
		cancel()
		return errors.Join(err, <-ran)
	}
	return &server{testpb.NewTestServiceClient(conn), stop}, nil
}

// plain runs a server of the library's until ctx ends.
func plain(opts ...grpc.ServerOption) func(context.Context, net.Listener) error {
	return func(ctx context.Context, ln net.Listener) error {
		s := grpc.NewServer(append(opts, grpc.WaitForHandlers(true))...)
		testpb.RegisterTestServiceServer(s, orders{})
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		<-ctx.Done()
		s.GracefulStop()
		return <-served
	}
}

// builder makes a server that reports to somewhere.
type builder func(telemetry) (func(context.Context, net.Listener) error, error)

// servers are what is compared. No others run meanwhile: how large the runtime makes the stacks of new goroutines goes by
// all that there are.
type servers struct{ bare, kit, peers *server }

// startAll returns what it started also where it returns an error. All compare tokens with fixed, "" for verifying them.
func startAll(ctx context.Context, kit builder, fixed string) (s servers, err error) {
	for _, one := range []struct {
		into  **server
		build builder
	}{
		{&s.bare, func(telemetry) (func(context.Context, net.Listener) error, error) { return plain(), nil }},
		{&s.kit, kit}, {&s.peers, peersServer},
	} {
		t := discarded()
		t.fixed = fixed
		run, err := one.build(t)
		if err != nil {
			return s, err
		}
		if *one.into, err = serve(ctx, run); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s servers) stop() error {
	var errs []error
	for _, one := range []*server{s.bare, s.kit, s.peers} {
		if one != nil {
			errs = append(errs, one.stop())
		}
	}
	return errors.Join(errs...)
}
