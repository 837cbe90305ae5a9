package natspubsub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

// benchWindow is how many messages are on their way unconfirmed, and how many are asked for at once, on both sides.
const benchWindow = 256

// benchData is a payload of 256 bytes.
var benchData = make([]byte, 256)

// BenchmarkThroughput moves messages through a server in this process: published in windows, received, acknowledged.
// The raw client is the yardstick.
func BenchmarkThroughput(b *testing.B) {
	b.Run("Raw", rawThroughput)
	b.Run("Adapter", func(b *testing.B) { adapterThroughput(b, nil) })
	b.Run("AdapterWithEnvelope", func(b *testing.B) {
		adapterThroughput(b, map[string]string{
			"ce-specversion": "1.0", "ce-id": "0190b8c5-7b1a-7000-8000-000000000000", "ce-source": "/orders",
			"ce-type": "order.placed", "ce-time": "2026-01-02T03:04:05.678901234Z", "ce-partitionkey": "42",
			"content-type": "application/json", "x-correlation-id": "0190b8c5-7b1a-7000-8000-000000000001",
			"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		})
	})
}

func rawThroughput(b *testing.B) {
	n := startServer(b)
	js, err := jetstream.New(n.conn, jetstream.WithPublishAsyncMaxPending(benchWindow))
	if err != nil {
		b.Fatal(err)
	}
	s, err := js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: "orders", Subjects: []string{"orders"}, MaxAge: 7 * 24 * time.Hour, Duplicates: 2 * time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	c, err := s.CreateConsumer(b.Context(), jetstream.ConsumerConfig{
		Durable: "stock", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute, MaxAckPending: -1,
		FilterSubject: "orders",
	})
	if err != nil {
		b.Fatal(err)
	}
	received := make(chan struct{}, 1<<16)
	consuming, err := c.Consume(func(m jetstream.Msg) {
		if err := m.Ack(); err != nil {
			b.Errorf("Ack: %v", err)
		}
		received <- struct{}{}
	}, jetstream.PullMaxMessages(benchWindow))
	if err != nil {
		b.Fatal(err)
	}
	defer consuming.Stop()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range b.N {
			<-received
		}
	})
	for left := b.N; left > 0; left -= benchWindow {
		var last []jetstream.PubAckFuture
		for range min(left, benchWindow) {
			ack, err := js.PublishAsync("orders", benchData)
			if err != nil {
				b.Fatal(err)
			}
			last = append(last, ack)
		}
		for _, ack := range last {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				b.Fatal(err)
			}
		}
	}
	wg.Wait()
}

func adapterThroughput(b *testing.B, attrs map[string]string) {
	n := startServer(b)
	broker := natspubsub.New(jetStream(b, n.conn), nil)
	s, err := broker.Subscribe(b.Context(), driver.SubscribeOptions{
		Topic: "orders", Name: "stock", Lease: time.Minute, MaxInFlight: 4 * benchWindow,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.Background())
	ids := 0
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	acks := make(chan []*driver.Delivery, 4)
	wg.Go(func() {
		defer close(acks)
		for got := 0; got < b.N; {
			ds, err := s.Receive(b.Context(), benchWindow)
			if err != nil {
				b.Errorf("Receive: %v", err)
				return
			}
			got += len(ds)
			acks <- ds
		}
	})
	wg.Go(func() {
		for ds := range acks {
			if err := s.Ack(b.Context(), ds); err != nil {
				b.Errorf("Ack: %v", err)
			}
		}
	})
	for left := b.N; left > 0; left -= benchWindow {
		ms := make([]driver.Message, min(left, benchWindow))
		for i := range ms {
			ids++
			ms[i] = driver.Message{ID: fmt.Sprint(ids), Attributes: driver.AttributesOf(attrs), Data: benchData}
		}
		if err := broker.Publish(b.Context(), "orders", ms); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}
