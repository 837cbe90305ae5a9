// Command chaos shows what pubsub and the inbox promise together, on real servers that fail: of many messages each has
// its effect once, none is lost, and the effects of a key are in order.
//
//	go run . -broker nats|kafka|sqs [-scale 0.1] [-no-inbox] [-no-order]
//
// It starts a broker and a PostgreSQL of its own, from the binaries that scripts/services installs, and three
// consumers, each a process. While messages travel it kills, every 3s, the consumer that had the latest effect
// (SIGKILL), and starts another in its place. It stops and continues the broker twice (SIGSTOP and SIGCONT), for 4s,
// which is longer than leases, sessions and publishers wait, and for 12s, which is longer than anything waits; a
// consumer once; and restarts the broker once, its data kept. A message whose Publish failed is published again
// under the same ID.
//
// SNS and SQS are sqstest's in a process of its own, with FIFO queues; it is not restarted, since it keeps nothing.
//
// A message is a key and its number within the key. Its effect is one row, written in the inbox's transaction. In the
// same transaction the effects of a key are numbered, under a lock, so that this number is the order of the commits. An
// effect is out of order when one of a later message of the same key has committed before it. None is left out of the
// count because a consumer died at that time, though the order across processes is promised but for take-overs.
//
// At the end it prints one table. The exit status is 1 where a promise was broken, or nothing has moved for a while:
// then it says where it stands, and keeps its folder with all logs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks/chaos:", err)
		os.Exit(1)
	}
}

// The first argument of a process that chaos starts as a part of itself.
const (
	consumeMode = "consume"
	guardMode   = "guard"
	serveMode   = "serve"
)

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == consumeMode {
		var c consumer
		if err := json.Unmarshal([]byte(args[1]), &c); err != nil {
			return err
		}
		return c.run(ctx, os.Stdin, os.Stdout)
	}
	if len(args) == 2 && args[0] == guardMode {
		var g guard
		if err := json.Unmarshal([]byte(args[1]), &g); err != nil {
			return err
		}
		return g.run(os.Stdin, os.Stdout)
	}
	if len(args) == 2 && args[0] == serveMode {
		return serve(ctx, args[1])
	}
	p, err := parse(args)
	if err != nil {
		return err
	}
	return p.run(ctx, os.Stdout)
}

// plan is what to do.
type plan struct {
	broker   string
	services string // where scripts/services keeps what it has installed
	messages int
	keys     int
	inbox    bool
	ordered  bool          // across processes
	span     time.Duration // over which messages are published
	every    time.Duration // between two kills
	quiet    time.Duration // waited for what comes late, and no longer is any lease
	patience time.Duration // without an effect
	limit    time.Duration // of all
}

// stallTime is how long a process stands still: longer than leases, sessions and publishers wait.
const stallTime = 4 * time.Second

// Figures of the whole trial, of which -scale takes a part, but never less than leastSpan.
const (
	wholeMessages = 100_000
	wholeSpan     = 45 * time.Second
	leastSpan     = 20 * time.Second
)

func parse(args []string) (plan, error) {
	p := plan{
		keys: 1000, every: 3 * time.Second, quiet: 6 * time.Second, patience: time.Minute, limit: 9 * time.Minute,
	}
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.StringVar(&p.broker, "broker", "nats", "nats, kafka or sqs")
	fs.StringVar(&p.services, "services", servicesDir(), "the folder of scripts/services")
	scale := fs.Float64("scale", 1, "how much of the trial: 1 is 100,000 messages")
	none := fs.Bool("no-inbox", false, "handle without the inbox, to see that the trial finds duplicates")
	unordered := fs.Bool("no-order", false, "do without order across processes, to see that the trial finds disorder")
	if err := fs.Parse(args); err != nil {
		return p, err
	}
	if fs.NArg() > 0 {
		return p, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if *scale <= 0 || *scale > 10 {
		return p, errors.New("scale is above 0 and at most 10")
	}
	p.messages = int(wholeMessages * *scale)
	p.span = max(leastSpan, time.Duration(float64(wholeSpan)**scale))
	p.inbox, p.ordered = !*none, !*unordered
	if _, err := brokerOf(p.broker); err != nil {
		return p, err
	}
	return p, nil
}

// servicesDir is where scripts/services puts its cache unless told otherwise.
func servicesDir() string {
	if dir := os.Getenv("MAINSTAY_SERVICES_DIR"); dir != "" {
		return dir
	}
	return os.TempDir() + "/mainstay-services"
}
