package pubsub_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// batchSize messages are published by each call, so that the cost of a call does not hide that of a message.
const batchSize = 100

// BenchmarkPublishAndHandle is one message from Publish to its acknowledgement, through everything that the client
// adds. Compare BenchmarkRawDriver.
func BenchmarkPublishAndHandle(b *testing.B) {
	for _, bc := range []struct {
		name string
		key  string
	}{{"Unordered", ""}, {"OneKey", "k"}} {
		b.Run(bc.name, func(b *testing.B) {
			client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{
				Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			})
			handled := make(chan struct{}, batchSize)
			sub := client.Subscribe("t", "s", func(context.Context, *pubsub.Message) error {
				handled <- struct{}{}
				return nil
			}, &pubsub.SubscriptionOptions{Concurrency: 16})
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- sub.Run(ctx) }()
			<-sub.Ready()
			ms := make([]*pubsub.Message, batchSize)
			for i := range ms {
				ms[i] = &pubsub.Message{Key: bc.key, Data: make([]byte, 256)}
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n%batchSize == 0 {
					if err := client.Publish(ctx, "t", ms...); err != nil {
						b.Fatal(err)
					}
					for range ms {
						<-handled
					}
				}
			}
			cancel()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkRawDriver moves the same messages, attributes included, through the broker in memory alone.
func BenchmarkRawDriver(b *testing.B) {
	broker := &mempubsub.Broker{}
	sub, err := broker.Subscribe(b.Context(), driver.SubscribeOptions{Topic: "t", Name: "s", Lease: time.Minute, MaxInFlight: 1000})
	if err != nil {
		b.Fatal(err)
	}
	ms := make([]driver.Message, batchSize)
	for i := range ms {
		ms[i] = driver.Message{ID: "id", Data: make([]byte, 256), Attributes: driver.AttributesOf(map[string]string{
			"ce-specversion": "1.0", "ce-id": "id", "ce-source": "s", "ce-type": "t", "ce-time": "2026-01-01T00:00:00Z",
			"ce-correlationid": "c",
		})}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; n%batchSize != 0 {
			continue
		}
		if err := broker.Publish(b.Context(), "t", ms); err != nil {
			b.Fatal(err)
		}
		for left := batchSize; left > 0; {
			ds, err := sub.Receive(b.Context(), 32)
			if err != nil {
				b.Fatal(err)
			}
			if err := sub.Ack(b.Context(), ds); err != nil {
				b.Fatal(err)
			}
			left -= len(ds)
		}
	}
}
