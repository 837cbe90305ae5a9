// Command observe measures what it costs to be observed: a log line, a RED observation, a correlation ID, a span that
// is not kept, each of the kit beside the same done by hand and beside what others do it with.
//
//	go run . [-quick]
//
// Log lines have a message, five attributes, the correlation ID and both IDs of the trace, which the kit's handler
// takes from the context and the peers' callers hand over; redaction is on, as it is by default. By hand is
// slog.JSONHandler, whose callers write the same line. The usual wrapper is a slog.Handler over it that adds the IDs to
// each record: it has no row with a group open, in which it would bury them. zap is behind log/slog too, by its own
// zapslog.
//
// A RED observation is a gauge up and down and a histogram, whose label sets were found beforehand, beside the bare
// instruments of client_golang. The clock is not read, and no exemplar is left, on either side. A measured request is a
// mux with one route that does nothing under httpserver.Observe, which besides adopts and echoes a correlation ID,
// recovers from panics and has a span (no-op here) and an access log (off), beside promhttp's instruments around the
// handler, and beside otelhttp with the metrics of the OpenTelemetry SDK (and no-op spans).
//
// A correlation ID is adopted or minted, stored in the request's context and echoed, around a handler that does
// nothing. By hand is a middleware of five lines with uuid.NewString; chi's RequestID is given the echo that it lacks.
// Neither looks at what it adopts. A span is started and ended as a server does it, of a trace that is not kept, with
// the kit's provider and with the SDK's own.
//
// That both sides do the same is checked first: where they do not, nothing is measured and the exit status is 1. A
// missed target never fails.
//
// A figure is the time of the fastest of many short rounds, which are taken in turns: what else the machine does only
// ever adds, and falls on slow rounds. So does the work of the garbage collector: look at allocations for that.
package main

import (
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
	pairs, rounds int           // pairs of figures, and of rounds for each
	round         time.Duration // of one side, or somewhat longer
}

func main() {
	quick := flag.Bool("quick", false, "measure for some seconds: enough to see that it works, not to compare")
	flag.Parse()
	e := effort{pairs: 15, rounds: 80, round: 200 * time.Microsecond}
	if *quick {
		e = effort{pairs: 3, rounds: 10, round: 100 * time.Microsecond}
	}
	if err := run(os.Stdout, e); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks/observe:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, e effort) error {
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d; medians of %d pairs, each the fastest of %d interleaved rounds\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), e.pairs, e.rounds)
	tables, err := checkedTables()
	if err != nil {
		return fmt.Errorf("the sides do not do the same: %w", err)
	}
	for _, t := range tables {
		if err := t.measure(w, e); err != nil {
			return fmt.Errorf("%s, %s: %w", t.title, t.peer, err)
		}
	}
	return nil
}

// checkedTables returns all that is measured, once both sides of each contest have done the same.
func checkedTables() (all []table, err error) {
	for _, tables := range []func() ([]table, error){logTables, redTables, requestTables, correlationTables, spanTables} {
		t, err := tables()
		if err != nil {
			return nil, err
		}
		all = append(all, t...)
	}
	return all, nil
}

// table is what is measured beside one peer.
type table struct {
	title, peer string
	contests    []contest
}

func (t table) measure(w io.Writer, e effort) error {
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	var rows []bench.Row
	var most []func() error
	for _, c := range t.contests {
		pairs, err := c.run(e)
		if err != nil {
			return err
		}
		time := bench.NewRow(c.name, "ns", c.want.ratio, pairs, func(c cost) float64 { return c.ns })
		allocs := bench.NewRow("allocations, "+c.name, "", 0, pairs, func(c cost) float64 { return c.allocs })
		rows = append(rows, time, allocs)
		most = append(most, func() error { return c.want.report(w, c.name, pairs) })
	}
	if err := bench.Report(w, "mainstay", t.peer, rows...); err != nil {
		return err
	}
	for _, report := range most {
		if err := report(); err != nil {
			return err
		}
	}
	return nil
}
