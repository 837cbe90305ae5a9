// Command shop is the tour of the kit: six services that talk over HTTP, gRPC and events, a database each.
//
//	go run ./examples/shop          # all of them in this process, until Ctrl-C
//	go run ./examples/shop -demo    # all of them in processes of their own, 500 orders, two of them killed on the way
//
// It needs Go and nothing else: the broker is a NATS server in this process, the databases are SQLite files in a
// temporary folder. With -broker and -db it uses a NATS server and a PostgreSQL server that run elsewhere.
//
// Each service is also a program of its own, in the folder of its name.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/mainstay-go/mainstay/examples/shop/internal/demo"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
)

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit status.
func run(args []string) int {
	if len(args) > 0 {
		if s, ok := find(args[0]); ok {
			return child(s, args[1:])
		}
	}
	fs := flag.NewFlagSet("shop", flag.ContinueOnError)
	isDemo := fs.Bool("demo", false, "run the demo: crashes, duplicates, poison, and a table of what came of it")
	orders := fs.Int("orders", 500, "with -demo, how many orders to place")
	broker := fs.String("broker", "", "NATS server with JetStream, nats://host:port (default: one in this process)")
	db := fs.String("db", "", "PostgreSQL server and name, postgres://host/name: each service gets a database "+
		"NAME_service (default: SQLite files in a temporary folder)")
	secret := fs.String("secret-file", "", "file with the secret of the internal tokens (default: a known one)")
	otlp := fs.String("otlp", "", "collector to send spans to, http://host:4318 or grpc://host:4317 (default: none)")
	ratio := fs.Float64("trace-ratio", 1, "share of the traces that is kept; negative for none")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "shop: %q is neither a flag nor a service\n", fs.Arg(0))
		return 2
	}
	if err := check(*broker, *db); err != nil {
		return report(err)
	}
	if *isDemo && *otlp != "" {
		fmt.Fprintln(os.Stderr, "shop: -otlp: the demo keeps its spans, to tell a story with them")
		return 2
	}
	if *isDemo {
		return report(runDemo(demo.Options{
			Services: names(), Orders: *orders, Broker: *broker, DB: *db, Out: os.Stdout,
		}))
	}
	return report(serve(context.Background(), options{
		broker: *broker, db: *db, secretFile: *secret, otlp: *otlp, traceRatio: *ratio,
		logs: os.Stderr, out: os.Stdout,
	}))
}

// check refuses what can never be right, before anything starts.
func check(broker, db string) error {
	if broker != "" {
		if err := platform.CheckBroker(broker); err != nil {
			return err
		}
	}
	return platform.CheckDatabases(db)
}

func report(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		return 1
	}
	return 0
}

// runDemo runs the demo until it is done or Ctrl-C.
func runDemo(o demo.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return demo.Run(ctx, o)
}

// child runs one service of the demo, in a process of its own that ends when its parent does.
func child(s service, args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the parent holds the other end
		cancel()
	}()
	var faults demo.Faults
	return platform.Main(ctx, s.name, args, s.wire, &platform.Options{Flags: faults.Flags, WrapBroker: faults.Wrap})
}
