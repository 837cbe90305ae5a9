// Command kafka keeps a table of prices from a topic: each price is a message with the product as its key, and a
// tombstone takes the product away. Two replicas share the work, and each product's changes stay in order. A cluster
// runs in this process unless -seed names a broker of another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

const topic = "example.price"

func main() {
	seed := flag.String("seed", "", "address of a Kafka broker; empty starts a cluster in this process")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := run(ctx, *seed, os.Stdout)
	cancel()
	if err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, seed string, out io.Writer) error {
	if seed == "" {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			return err
		}
		defer cluster.Close()
		seed = cluster.ListenAddrs()[0]
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(seed))
	if err != nil {
		return err
	}
	defer kafka.Close()
	client := pubsub.NewClient(kafkapubsub.New(kafka, nil), &pubsub.Options{Source: "/example"})
	return prices(ctx, client, out)
}

// prices publishes changes of prices, and prints the table once two replicas have taken all of them in.
func prices(ctx context.Context, client *pubsub.Client, out io.Writer) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	t := &table{prices: map[string]string{}, changed: make(chan struct{}, 100)}
	ended := make(chan error, 2)
	for range cap(ended) {
		replica := client.Subscribe(topic, "shop", t.apply, nil)
		go func() { ended <- replica.Run(running) }()
		select {
		case <-replica.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	changes := []*pubsub.Message{
		{Key: "tea", Data: []byte("3.10")},
		{Key: "ink", Data: []byte("7.00")},
		{Key: "tea", Data: []byte("2.90")},
		{Key: "ink"}, // no data: a tombstone
	}
	if err := client.Publish(ctx, topic, changes...); err != nil {
		return err
	}
	for range changes {
		select {
		case <-t.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	stop()
	t.print(out)
	return errors.Join(<-ended, <-ended)
}

// table holds the price of each product.
type table struct {
	mu      sync.Mutex
	prices  map[string]string
	changed chan struct{}
}

func (t *table) apply(_ context.Context, m *pubsub.Message) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.Data == nil {
		delete(t.prices, m.Key)
	} else {
		t.prices[m.Key] = string(m.Data)
	}
	t.changed <- struct{}{}
	return nil
}

func (t *table) print(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := make([]string, 0, len(t.prices))
	for product, price := range t.prices {
		lines = append(lines, product+" "+price)
	}
	slices.Sort(lines)
	for _, l := range lines {
		fmt.Fprintln(out, l)
	}
}
