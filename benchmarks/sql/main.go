// Command sql measures what the outbox and its relay cost beside the same by hand, watermill-sql and river.
//
//	go run . [-quick] [-only write|relay|backlog|latency] [-retained ROWS] [-pairs N]
//
// It starts a PostgreSQL of its own, from the programs on this machine, with fsync and synchronous_commit on; every
// side has a database of its own there.
//
// write is a transaction that inserts a row of business and publishes one message: by the kit (sqlx.InTx,
// box.In(tx)), by hand (BeginTx, an INSERT into a table with one index, Commit, on a plain pool of the same driver),
// by watermill-sql's publisher on the transaction, and by river's InsertTx on a pgx transaction. Alone is the row of
// business without a message.
//
// relay is moving stored messages to a publisher that does nothing, until none is left: the kit's relay, with batches
// of 500 as its peers have, and with its default; by hand a loop that takes and deletes 500 rows at a time and reads
// their columns; watermill-sql's subscriber with its queue schema and batches of 500, each message acknowledged by a
// handler that does nothing; river's client with 500 workers that do nothing.
//
// backlog is the same relay at several sizes of backlog, from the first batch that it publishes to the last, and once
// more beside messages that were sent and are kept. latency is from the return of a commit to the publisher's call,
// by a relay that the commit wakes.
//
// A missed target never fails.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
)

// effort is how much to measure.
type effort struct {
	pairs    int
	writes   int   // transactions a measurement
	relayed  int   // messages a measurement
	backlogs []int // sizes; the first is what the others are compared with
	retained int   // messages that are kept
	commits  int   // of which the latency is measured
}

func main() {
	quick := flag.Bool("quick", false, "measure for some seconds: enough to see that it works, not to compare")
	only := flag.String("only", "", "measure one group alone: write, relay, backlog or latency")
	retained := flag.Int("retained", 1_000_000, "how many delivered messages are kept in the last row of backlog")
	pairs := flag.Int("pairs", 5, "how often each pair is measured")
	flag.Parse()
	e := effort{
		pairs: *pairs, writes: 1000, relayed: 100_000, backlogs: []int{1000, 100_000, 1_000_000}, retained: *retained,
		commits: 300,
	}
	if *quick {
		e = effort{pairs: 1, writes: 100, relayed: 2000, backlogs: []int{1000, 2000}, retained: 1000, commits: 20}
	}
	if *pairs < 1 {
		fmt.Fprintln(os.Stderr, "benchmarks/sql: -pairs: want 1 or more")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, e, *only); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks/sql:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, e effort, only string) (err error) {
	groups := []struct {
		name    string
		measure func(context.Context, io.Writer, *server, effort) error
	}{{"write", measureWrites}, {"relay", measureRelays}, {"backlog", measureBacklogs}, {"latency", measureLatency}}
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d, %s, fsync on; medians of %d\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), s.version, e.pairs)
	found := false
	for _, g := range groups {
		if only == "" || only == g.name {
			found = true
			if err := g.measure(ctx, w, s, e); err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
		}
	}
	if !found {
		return fmt.Errorf("no group %q", only)
	}
	return nil
}
