// Command http measures a shop's hot request, POST /customers/{customer}/orders, served by the kit beside the same
// request served by a handler that is wired by hand from chi, otelhttp, promhttp, golang-jwt and slog.
//
//	go run . [-quick]
//
// Both sides do the same: they continue the caller's trace with a span of the OpenTelemetry SDK, adopt and echo its
// correlation ID, verify its HS256 token with issuer, audience, expiry and scope, bind path, header and JSON body,
// check them, bound the body, recover from panics, answer with JSON, and leave one span, one duration with an
// exemplar, an in-flight gauge and one JSON access log line that carries trace and correlation ID. Spans and log lines
// are made in full and thrown away. That both answer alike, to the byte for the request that is measured, is checked
// first: where they do not, nothing is measured and the exit status is 1. A missed target never fails.
//
// Each request carries the same token, as requests of one service to another do, and both sides verify it each time.
// otelhttp does a little more: it notes the sizes of both bodies in the span, and computes the attributes of metrics of
// its own, which nobody reads here.
//
// The request is measured in two ways. In-process, a handler is called on one goroutine, with a request and a writer
// that are used again: processor time (of the whole process, so that the garbage collector counts and other programs
// do not), allocations and bytes are the handler's own. It is called with a trace that is kept, and with one that is
// not. Over loopback, four keep-alive clients in the same process each send their next request when they have the last
// answer; the kernel and net/http are most of that time, as they are of any small request's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// effort is how long to measure.
type effort struct {
	costPairs, loadPairs int
	costTime, loadTime   time.Duration // of one side in one pair
}

const clients = 4

func main() {
	quick := flag.Bool("quick", false, "measure for some seconds: enough to see that it works, not to compare")
	flag.Parse()
	e := effort{costPairs: 41, costTime: 100 * time.Millisecond, loadPairs: 41, loadTime: 500 * time.Millisecond}
	if *quick {
		e = effort{costPairs: 3, costTime: 50 * time.Millisecond, loadPairs: 3, loadTime: 200 * time.Millisecond}
	}
	if err := run(context.Background(), os.Stdout, e); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks/http:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, e effort) error {
	token, err := newToken(scope)
	if err != nil {
		return err
	}
	kit, err := kitHandler(discarded())
	if err != nil {
		return err
	}
	hand, err := byHandHandler(discarded())
	if err != nil {
		return err
	}
	weak, err := newToken()
	if err != nil {
		return err
	}
	if err := checkHandlers(kit, hand, token, weak); err != nil {
		return fmt.Errorf("the sides do not answer alike: %w", err)
	}
	fmt.Fprintf(w, "POST /customers/{customer}/orders: mainstay beside chi, otelhttp, promhttp, golang-jwt, slog\n")
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d; medians of %d and %d interleaved pairs\n\n", runtime.Version(), runtime.GOOS,
		runtime.GOARCH, runtime.GOMAXPROCS(0), e.costPairs, e.loadPairs)
	var rows []bench.Row
	for _, c := range []struct{ name, traceparent string }{{"sampled", sampled}, {"unsampled", unsampled}} {
		pairs, err := compareCost(kit, hand, token, c.traceparent, e)
		if err != nil {
			return err
		}
		rows = append(rows, costRows(c.name, pairs)...)
	}
	pairs, err := compareLoad(ctx, token, e)
	if err != nil {
		return err
	}
	return bench.Report(w, "mainstay", "by hand", append(rows, loadRows(pairs)...)...)
}

func compareCost(kit, hand http.Handler, token, traceparent string, e effort) ([]bench.Pair[cost], error) {
	k, err := newCaller(kit, token, traceparent)
	if err != nil {
		return nil, err
	}
	h, err := newCaller(hand, token, traceparent)
	if err != nil {
		return nil, err
	}
	// The first pair warms both up, and is not counted.
	measure := func(c *caller) func() (cost, error) { return func() (cost, error) { return c.cost(e.costTime) } }
	pairs, err := bench.Interleave(e.costPairs+1, measure(k), measure(h))
	if err != nil {
		return nil, err
	}
	return pairs[1:], nil
}

func costRows(name string, pairs []bench.Pair[cost]) []bench.Row {
	return []bench.Row{
		bench.NewRow("in-process CPU, "+name, "ns", 0.80, pairs, func(c cost) float64 { return c.ns }),
		bench.NewRow("allocations, "+name, "", 0.60, pairs, func(c cost) float64 { return c.allocs }),
		bench.NewRow("allocated, "+name, "bytes", 0.60, pairs, func(c cost) float64 { return c.bytes }),
	}
}

func compareLoad(ctx context.Context, token string, e effort) (pairs []bench.Pair[load], err error) {
	kit, err := start(ctx, kitServer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kit.stop()) }()
	hand, err := start(ctx, byHandServer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, hand.stop()) }()
	if err := checkServers(ctx, kit.addr, hand.addr, token); err != nil {
		return nil, fmt.Errorf("the sides do not answer alike over a connection: %w", err)
	}
	toKit, err := dial(ctx, kit.addr, token, clients)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, toKit.close()) }()
	toHand, err := dial(ctx, hand.addr, token, clients)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, toHand.close()) }()
	measure := func(cs connections) func() (load, error) { return func() (load, error) { return cs.load(e.loadTime) } }
	pairs, err = bench.Interleave(e.loadPairs+1, measure(toKit), measure(toHand))
	if err != nil {
		return nil, err
	}
	return pairs[1:], nil // as above
}

func loadRows(pairs []bench.Pair[load]) []bench.Row {
	return []bench.Row{
		bench.NewRow("loopback p50", "µs", 0, pairs, func(l load) float64 { return l.p50 }),
		bench.NewRow("loopback p99", "µs", 1.05, pairs, func(l load) float64 { return l.p99 }),
		bench.NewRow("loopback throughput", "requests/s", 0, pairs, func(l load) float64 { return l.rate }),
	}
}
