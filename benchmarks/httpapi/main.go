// Command httpapi measures what it costs to have an endpoint as a typed value: the kit beside the same endpoint written
// by hand with encoding/json, and beside huma v2, which also binds and checks by struct tags.
//
//	go run . [-quick]
//
// The endpoint has a parameter in its path and a JSON body of ten fields, which are bounded, and a JSON answer. All
// three sides sit on http.ServeMux, bound the body at 1 MiB, refuse another Content-Type, check every field, and answer
// the same bytes; what they say when they refuse is their own. That they do is checked first: where they do not, nothing
// is measured and the exit status is 1. A missed target never fails.
//
// Nothing is around the endpoint: no authentication, no tracing, no log (benchmarks/http has these). The request and the
// writer are used again and again, so that next to nothing but the handler is measured. huma is set up as its
// documentation shows, less the hook that adds a "$schema" to each answer.
//
// The tests of this module also mount an endpoint on chi, gorilla/mux and echo.
package main

import (
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
	pairs int
	time  time.Duration // of one side in one pair
}

func main() {
	quick := flag.Bool("quick", false, "measure for some seconds: enough to see that it works, not to compare")
	flag.Parse()
	e := effort{pairs: 21, time: 150 * time.Millisecond}
	if *quick {
		e = effort{pairs: 3, time: 50 * time.Millisecond}
	}
	if err := run(os.Stdout, e); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks/httpapi:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, e effort) error {
	kit := kitHandler()
	fmt.Fprintf(w, "a typed endpoint: a path parameter, a JSON body of ten fields, checked, and a JSON answer\n")
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d; medians of %d interleaved pairs\n", runtime.Version(), runtime.GOOS,
		runtime.GOARCH, runtime.GOMAXPROCS(0), e.pairs)
	for _, peer := range []struct {
		name    string
		handler http.Handler
		want    float64 // of processor time
	}{
		{"by hand", byHand(), 1.15},
		{"huma", humaHandler(), 0.50},
	} {
		if err := checkAlike(kit, peer.handler); err != nil {
			return fmt.Errorf("the kit and %s do not answer alike: %w", peer.name, err)
		}
		fmt.Fprintln(w)
		// The first pair warms both up, and is not counted.
		pairs, err := bench.Interleave(e.pairs+1, measure(kit, e.time), measure(peer.handler, e.time))
		if err != nil {
			return err
		}
		pairs = pairs[1:]
		err = bench.Report(w, "mainstay", peer.name,
			bench.NewRow("CPU, beside "+peer.name, "ns", peer.want, pairs, func(c cost) float64 { return c.ns }),
			bench.NewRow("allocations, beside "+peer.name, "", 0, pairs, func(c cost) float64 { return c.allocs }),
			bench.NewRow("bytes, beside "+peer.name, "", 0, pairs, func(c cost) float64 { return c.bytes }),
		)
		if err != nil {
			return err
		}
	}
	return nil
}
