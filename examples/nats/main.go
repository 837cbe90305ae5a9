// Command nats publishes orders to JetStream and takes them from it, with a NATS server in this process unless -broker
// names another. One order fails twice and is tried again; one is hopeless and ends as a dead letter.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// Order is what travels.
type Order struct {
	ID string `json:"id"`
}

var placed = pubsub.NewTopic("example.order.placed", &pubsub.TopicOptions[Order]{Key: func(o Order) string { return o.ID }})

func main() {
	broker := flag.String("broker", "", "URL of a NATS server with JetStream; empty starts one")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := run(ctx, *broker, os.Stdout)
	cancel()
	if err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, out io.Writer) error {
	if url == "" {
		own, stop, err := startServer()
		if err != nil {
			return err
		}
		defer stop()
		url = own
	}
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return orders(ctx, pubsub.NewClient(natspubsub.New(js, nil), &pubsub.Options{Source: "/example"}), out)
}

// orders publishes three orders and returns when each has come to its end.
func orders(ctx context.Context, client *pubsub.Client, out io.Writer) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	outcomes := make(chan string, 100)
	stock := placed.Subscribe(client, "stock", func(ctx context.Context, o Order) error {
		m := pubsub.MessageFrom(ctx)
		switch {
		case o.ID == "hopeless":
			return resilience.Permanent(errors.New("no such product"))
		case o.ID == "later" && m.Attempt < 3:
			return errors.New("out of stock for a moment")
		}
		outcomes <- fmt.Sprintf("order %s: attempt %d succeeded", o.ID, m.Attempt)
		return nil
	}, nil)
	letters := client.Subscribe("example.order.placed.dead-letter.stock", "reader",
		func(_ context.Context, m *pubsub.Message) error {
			outcomes <- fmt.Sprintf("dead letter: %s, %s", m.DeadLetter.Reason, m.DeadLetter.Error)
			return nil
		}, nil)
	ended := make(chan error, 2)
	for _, s := range []*pubsub.Subscription{letters, stock} {
		go func() { ended <- s.Run(running) }()
		select {
		case <-s.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, id := range []string{"now", "later", "hopeless"} {
		if err := placed.Publish(ctx, client, Order{ID: id}); err != nil {
			return err
		}
	}
	for range 3 {
		select {
		case o := <-outcomes:
			fmt.Fprintln(out, o)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	stop()
	return errors.Join(<-ended, <-ended)
}

// startServer starts a server whose files go with it.
func startServer() (url string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "nats")
	if err != nil {
		return "", nil, err
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.Start()
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}
	if !s.ReadyForConnections(30 * time.Second) {
		stop()
		return "", nil, errors.New("the server does not start")
	}
	return s.ClientURL(), stop, nil
}
