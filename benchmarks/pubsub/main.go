// Command pubsub measures what a message costs from Publish to its acknowledgement, by the kit, by the bare client of
// the broker, and by what others put around it.
//
//	go run . [-quick] [-only memory|jetstream|kafka|sqs]
//
// A message has 256 bytes and no key. It counts once its handler has returned; the acknowledgements of the last ones may
// still be on their way, on every side. Where the library takes more than one message a call, publishers send 100 in
// memory and 1,000 through a broker.
//
// In memory, the kit stands beside a bare channel, watermill's GoChannel and gocloud's mempubsub. Bare is the kit with
// spans that do nothing; observed has the SDK's provider, which keeps a tenth of the traces. Its metrics are on in both:
// they cannot be turned off. The peers have neither.
//
// On JetStream (a server in this process, streams in files), raw is nats.go: PublishMsgAsync with a window of 256,
// Consume, and an acknowledgement for each message. Watermill's rows are its JetStream adapter, publishing one message
// after the other and from 100 goroutines, each with its acknowledgement waited for or not.
//
// On Kafka (franz-go's kfake in this process, which keeps everything in memory), raw is franz-go itself: Produce with the
// client's own batches, PollFetches, and a commit after each. Watermill's rows are its Kafka adapter, publishing batches and
// from 100 goroutines.
//
// On SQS (sqstest's SNS and SQS in this process), the loop is what one writes by hand on the SDK: batches of ten, eight
// goroutines that publish, and eight that receive, handle and delete. It sends the same messages, envelope included, to an
// SNS topic in front of the queue; and, to see what the envelope and the topic cost, bare bodies to the queue itself.
//
// Every side has to have handled what it was sent, each message once, or nothing is reported and the exit status is 1.
// A missed target never fails.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// effort is how much to measure.
type effort struct {
	pairs  int // of measurements
	memory int // messages a measurement, in memory
	broker int // and through a broker
}

func main() {
	quick := flag.Bool("quick", false, "measure for some seconds: enough to see that it works, not to compare")
	only := flag.String("only", "", "measure one group alone: memory, jetstream, kafka or sqs")
	flag.Parse()
	e := effort{pairs: 9, memory: 200_000, broker: 40_000}
	if *quick {
		e = effort{pairs: 1, memory: 5_000, broker: 1_000}
	}
	if err := run(context.Background(), os.Stdout, e, *only); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks/pubsub:", err)
		os.Exit(1)
	}
}

// group is a kit's way beside its peers.
type group struct {
	name     string
	contests []contest
	size     func(effort) int
}

func groups() []group {
	return []group{
		{"memory", memoryContests(), func(e effort) int { return e.memory }},
		{"jetstream", jetstreamContests(), func(e effort) int { return e.broker }},
		{"kafka", kafkaContests(), func(e effort) int { return e.broker }},
		{"sqs", sqsContests(), func(e effort) int { return e.broker / 4 }},
	}
}

func run(ctx context.Context, w io.Writer, e effort, only string) error {
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d; medians of %d pairs\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), e.pairs)
	found := false
	for _, g := range groups() {
		if only != "" && only != g.name {
			continue
		}
		found = true
		for _, c := range g.contests {
			if err := c.run(ctx, w, e.pairs, g.size(e)); err != nil {
				return fmt.Errorf("%s, %s: %w", g.name, c.peer.name, err)
			}
		}
	}
	if !found {
		return fmt.Errorf("no group %q", only)
	}
	return nil
}

// contest is the kit beside one peer. Wants of zero are none.
type contest struct {
	kit, peer  way
	ratio      float64 // the most that the kit's time may be to the peer's
	ns, allocs float64 // the most for a message
}

func (c contest) run(ctx context.Context, w io.Writer, pairs, n int) error {
	ours, err := c.kit.start(ctx)
	if err != nil {
		return err
	}
	defer ours.stop()
	peer, err := c.peer.start(ctx)
	if err != nil {
		return err
	}
	defer peer.stop()
	// Groups are joined and streams created by then.
	for _, warm := range []*side{ours, peer} {
		if _, err := warm.measure(min(n, warmUp))(); err != nil {
			return err
		}
	}
	measured, err := bench.Interleave(pairs, ours.measure(n), peer.measure(n))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s beside %s\n\n", c.kit.name, c.peer.name)
	ns := bench.NewRow("a message", "ns", c.ratio, measured, func(c cost) float64 { return c.ns })
	allocs := bench.NewRow("allocations", "", 0, measured, func(c cost) float64 { return c.allocs })
	if err := bench.Report(w, "mainstay", c.peer.name, ns, allocs); err != nil {
		return err
	}
	if c.ns > 0 {
		if err := bench.ReportMost(w, "ns, "+c.kit.name, c.ns, ns.Ours.Median); err != nil {
			return err
		}
	}
	if c.allocs > 0 {
		return bench.ReportMost(w, "allocations, "+c.kit.name, c.allocs, allocs.Ours.Median)
	}
	return nil
}
