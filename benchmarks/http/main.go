// Command http measures what it costs to serve a request with the kit beside what it costs with its peers.
//
//	go run . [-quick]
//
// Two requests are measured. The order, POST /customers/{customer}/orders, is a shop's hot request: a handler that is
// wired by hand from chi, otelhttp, promhttp, golang-jwt and slog binds, checks and answers it as the kit's endpoint
// does. The stack, GET /users/{id}, is what surrounds a handler that does nothing: the kit's beside the same duties
// wired by hand from the same parts, and beside what kratos and go-zero surround a handler with. What those two do
// less, and more, is said where they are built (kratos.go, gozero.go).
//
// The kit and the hand-wired side do the same: they make or continue a trace with a span of the OpenTelemetry SDK, adopt
// and echo a correlation ID, verify an HS256 token with issuer, audience and expiry, recover from panics, and leave one
// span where the trace is kept, one duration with an exemplar there, an in-flight gauge and one JSON access log line
// that carries trace and correlation ID; for the order they also check the scope, bind path, header and JSON body, check
// them, bound the body and answer with JSON. Spans and log lines are made in full and thrown away. That both answer
// alike, to the byte for the request that is measured, is checked first: where they do not, nothing is measured and the
// exit status is 1. A missed target never fails.
//
// Orders carry the same token, as requests of one service to another do; the stack is measured with one token and with
// a new one for each request. The kit's verifier remembers the tokens that it has accepted, as it does by default;
// golang-jwt has nothing of the kind. otelhttp does a little more than the kit: it notes the sizes of both bodies in
// the span, and computes the attributes of metrics of its own, which nobody reads here.
//
// In-process, a handler is called on one goroutine, with a request and a writer that are used again: processor time (of
// the whole process, so that the garbage collector counts and other programs do not), allocations and bytes are the
// handler's own. The order is called with a trace that is kept, and with one that is not; of the stack's traces one in
// ten is kept. Over loopback, keep-alive clients in the same process each send their next request when they have the
// last answer; the kernel and net/http are most of that time, as they are of any small request's, so that of the stack
// what it adds to a bare net/http.ServeMux is compared: processor time a request, the clients' included, less the same
// of a bare server that was measured right before.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// effort is how long to measure.
type effort struct {
	costPairs, loadPairs int
	costTime, loadTime   time.Duration // of one side in one pair
}

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
	hushGoZero()
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d; medians of %d and %d interleaved pairs\n", runtime.Version(), runtime.GOOS,
		runtime.GOARCH, runtime.GOMAXPROCS(0), e.costPairs, e.loadPairs)
	token, err := newToken(scope)
	if err != nil {
		return err
	}
	weak, err := newToken()
	if err != nil {
		return err
	}
	if err := measureOrder(ctx, w, e, token, weak); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	if err := measureStack(ctx, w, e, token); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	return nil
}
