package main

import (
	"context"
	"runtime"
	"time"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// cost is what one call costs, client and all; ns is processor time.
type cost struct{ ns, allocs, bytes float64 }

// added is the cost of a call to a bare server, and of one to a server that does more.
type added struct{ bare, full cost }

// beside measures both for about d each, one right after the other.
func (s *server) beside(ctx context.Context, full *server, d time.Duration) (a added, err error) {
	if a.bare, err = s.cost(ctx, d); err != nil {
		return a, err
	}
	a.full, err = full.cost(ctx, d)
	return a, err
}

// cost calls for about d, one call after the other. What the garbage collector does meanwhile is part of it.
func (s *server) cost(ctx context.Context, d time.Duration) (cost, error) {
	const batch = 16 // between two looks at the clock
	request := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte("tea-earl-grey-100g")}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start, used, n := time.Now(), bench.CPUTime(), 0
	for time.Since(start) < d {
		for range batch {
			if _, err := s.client.UnaryCall(ctx, request); err != nil {
				return cost{}, err
			}
		}
		n += batch
	}
	used = bench.CPUTime() - used
	runtime.ReadMemStats(&after)
	per := func(v float64) float64 { return v / float64(n) }
	return cost{
		ns: per(float64(used)), allocs: per(float64(after.Mallocs - before.Mallocs)),
		bytes: per(float64(after.TotalAlloc - before.TotalAlloc)),
	}, nil
}
