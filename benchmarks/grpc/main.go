// Command grpc measures what a service's set-up adds to a unary gRPC call: the kit beside otelgrpc and
// go-grpc-middleware, each over a server that does nothing but answer.
//
//	go run . [-quick]
//
// Both sides do the same: they continue the caller's trace with a span of the OpenTelemetry SDK, adopt and echo its
// correlation ID, verify its HS256 token with issuer, audience, expiry and scope, recover from panics, and leave one
// span, one duration with an exemplar, a count of what was handled, and one JSON access log line that carries trace and
// correlation ID. Spans and log lines are made in full and thrown away. That both answer alike is checked first: where
// they do not, nothing is measured and the exit status is 1. A missed target never fails.
//
// Each call carries the same token, as calls of one service to another do. The kit remembers tokens that it has
// verified, which golang-jwt does not; so that this is not all that is seen, everything is measured a second time with
// a token that both sides only compare. The peer's side is wired as its own
// documentation shows: otelgrpc as the stats handler, and the interceptors of go-grpc-middleware v2 for metrics, the
// access log (the end of a call only, where its default is two lines), recovery and authentication, with golang-jwt.
// The kit is measured as a grpcserver.Server, which lets calls run on goroutines whose stacks have grown already
// (grpc.NumStreamWorkers), and as the two interceptors that a server which is there already takes, without that.
//
// Client, server and the connection in memory are one process, so that its processor time is that of a whole call.
// What a side adds is the difference to the bare server, measured right beside it; the client is always bare. A call
// is made with a trace that is kept, and with one that is not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// effort is how long to measure.
type effort struct {
	pairs int
	time  time.Duration // of one server in one pair
}

func main() {
	quick := flag.Bool("quick", false, "measure for some seconds: enough to see that it works, not to compare")
	flag.Parse()
	e := effort{pairs: 21, time: 150 * time.Millisecond}
	if *quick {
		e = effort{pairs: 3, time: 50 * time.Millisecond}
	}
	if err := run(context.Background(), os.Stdout, e); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks/grpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, e effort) error {
	token, err := newToken(scope)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "unary call over a connection in memory: mainstay beside otelgrpc and go-grpc-middleware, less a bare server\n")
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d; medians of %d interleaved pairs\n\n", runtime.Version(), runtime.GOOS,
		runtime.GOARCH, runtime.GOMAXPROCS(0), e.pairs)
	var rows []bench.Row
	for _, c := range []struct {
		name         string
		kit          builder
		token, fixed string
	}{
		{"server, JWT", kitServer, token, ""}, {"interceptors, JWT", kitInterceptors, token, ""},
		{"server, no JWT", kitServer, fixedToken, fixedToken},
		{"interceptors, no JWT", kitInterceptors, fixedToken, fixedToken},
	} {
		more, err := compare(ctx, c.name, c.kit, c.token, c.fixed, e)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	return bench.Report(w, "mainstay", "peers", rows...)
}

// compare measures calls with a token, which is verified, or compared with fixed where that is given.
func compare(
	ctx context.Context, name string, kit builder, token, fixed string, e effort,
) (rows []bench.Row, err error) {
	servers, err := startAll(ctx, kit, fixed)
	defer func() { err = errors.Join(err, servers.stop()) }()
	if err != nil {
		return nil, err
	}
	if err := servers.check(ctx, token); err != nil {
		return nil, fmt.Errorf("the sides do not answer alike: %w", err)
	}
	for _, c := range []struct{ name, traceparent string }{{"sampled", sampled}, {"unsampled", unsampled}} {
		ctx := outgoing(ctx, token, c.traceparent)
		added := func(s *server) func() (added, error) {
			return func() (added, error) { return servers.bare.beside(ctx, s, e.time) }
		}
		// The first pair warms both up, and is not counted.
		pairs, err := bench.Interleave(e.pairs+1, added(servers.kit), added(servers.peers))
		if err != nil {
			return nil, err
		}
		rows = append(rows, rowsOf(name+", "+c.name, pairs[1:])...)
	}
	return rows, nil
}

func rowsOf(name string, pairs []bench.Pair[added]) []bench.Row {
	return []bench.Row{
		bench.NewRow("added CPU, "+name, "ns", 0.40, pairs, func(a added) float64 { return a.full.ns - a.bare.ns }),
		bench.NewRow("added allocations, "+name, "", 0.30, pairs,
			func(a added) float64 { return a.full.allocs - a.bare.allocs }),
		bench.NewRow("added bytes, "+name, "", 0, pairs, func(a added) float64 { return a.full.bytes - a.bare.bytes }),
		bench.NewRow("whole call, "+name, "ns", 0, pairs, func(a added) float64 { return a.full.ns }),
	}
}
