package grpcserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// strange is the stream of a call of a method that nobody knows.
type strange struct {
	grpc.ServerStream
	ctx context.Context
}

func (s strange) Context() context.Context { return s.ctx }

// series counts what a scrape would show.
func series(t *testing.T, reg *prometheus.Registry) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what has a finalizer
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAttack has 100,000 calls of methods, hosts and IDs that strangers make up.
func TestAttack(t *testing.T) {
	reg := prometheus.NewRegistry()
	observe := grpcserver.Observe(&grpcserver.ObserveOptions{Logger: slog.New(slog.DiscardHandler), Registerer: reg})
	unary := &grpc.UnaryServerInfo{FullMethod: "/" + unaryMethod}
	attack := func(n int) {
		for range n {
			made := fmt.Sprintf("%x-%x", rand.Uint64(), rand.Uint64())
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(
				":authority", made, "x-correlation-id", made, "x-request-id", made, "user-agent", made, "traceparent", made))
			_, _ = observe.Unary(ctx, nil, unary, func(context.Context, any) (any, error) { return nil, nil })
			_ = observe.Stream(nil, strange{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: "/" + made + "/" + made},
				func(any, grpc.ServerStream) error { return status.Error(codes.Unimplemented, made) })
		}
	}
	attack(1000)
	before, held := series(t, reg), heap()
	attack(49_000)
	if got := series(t, reg); got != before {
		t.Errorf("%d series became %d", before, got)
	}
	if got := heap(); got > held+1<<20 {
		t.Errorf("%d bytes held became %d, want no more", held, got)
	}
	t.Run("OnAServer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{Verifier: tokens}).serve(t, &service{})
			const registered = 8 // methods of the service, each with its gauge
			for i := range 500 {
				_ = r.conn.Invoke(t.Context(), fmt.Sprintf("/made.Up%d/Method%d", i, i), &testpb.Empty{}, &testpb.Empty{})
			}
			synctest.Wait()
			// Of the rest there is the gauge, one code, and the messages of both directions.
			if got := series(t, r.reg); got > registered+4 {
				t.Errorf("%d series, want %d for the methods and at most 4 for the rest", got, registered)
			}
		})
	})
}
