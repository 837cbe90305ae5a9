package kafkapubsub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

// The two take the same way: a burst of 256-byte messages over 100 keys is stored by several callers in batches, while
// another goroutine receives and commits.
const benchBurst, benchBatch, benchCallers, benchBytes, benchKeys = 10_000, 500, 8, 256, 100

// burst publishes benchBurst messages while receive takes as many.
func burst(b *testing.B, publish func() error, receive func() (int, error)) {
	b.Helper()
	var all sync.WaitGroup
	todo := make(chan struct{}, benchBurst/benchBatch)
	for range cap(todo) {
		todo <- struct{}{}
	}
	close(todo)
	for range benchCallers {
		all.Go(func() {
			for range todo {
				if err := publish(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for got := 0; got < benchBurst; {
		n, err := receive()
		if err != nil {
			b.Fatal(err)
		}
		got += n
	}
	all.Wait()
}

func BenchmarkRawAsync(b *testing.B) {
	_, seeds := startCluster(b)
	if err := kafkapubsub.New(newKafka(b, seeds), nil).Declare(b.Context(), []string{"bench"}); err != nil {
		b.Fatal(err)
	}
	producer := newKafka(b, seeds)
	consumer := newKafka(b, seeds, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("bench"), kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	data := make([]byte, benchBytes)
	publish := func() error {
		var wg sync.WaitGroup
		wg.Add(benchBatch)
		for i := range benchBatch {
			r := &kgo.Record{Topic: "bench", Key: fmt.Append(nil, i%benchKeys), Value: data}
			producer.Produce(b.Context(), r, func(_ *kgo.Record, err error) {
				defer wg.Done()
				if err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		return nil
	}
	receive := func() (int, error) {
		fetches := consumer.PollRecords(b.Context(), benchBatch)
		if err := fetches.Err(); err != nil {
			return 0, err
		}
		return fetches.NumRecords(), consumer.CommitRecords(b.Context(), fetches.Records()...)
	}
	b.ReportAllocs()
	for b.Loop() {
		burst(b, publish, receive)
	}
	b.ReportMetric(float64(benchBurst*b.N)/b.Elapsed().Seconds(), "msgs/s")
}

func BenchmarkAdapter(b *testing.B) {
	_, seeds := startCluster(b)
	broker := kafkapubsub.New(newKafka(b, seeds), nil)
	sub, err := broker.Subscribe(b.Context(), driver.SubscribeOptions{
		Topic: "bench", Name: "one", Lease: time.Minute, MaxInFlight: 2 * benchBatch,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := sub.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	ms := make([]driver.Message, benchBatch)
	for i := range ms {
		ms[i] = driver.Message{Key: fmt.Sprint(i % benchKeys), Data: make([]byte, benchBytes), Attributes: driver.AttributesOf(map[string]string{
			"ce-specversion": "1.0", "ce-id": fmt.Sprint(i), "ce-source": "/bench", "ce-type": "bench",
		})}
	}
	publish := func() error { return broker.Publish(b.Context(), "bench", ms) }
	receive := func() (int, error) {
		ds, err := sub.Receive(b.Context(), benchBatch)
		if err != nil {
			return 0, err
		}
		return len(ds), sub.Ack(b.Context(), ds)
	}
	b.ReportAllocs()
	for b.Loop() {
		burst(b, publish, receive)
	}
	b.ReportMetric(float64(benchBurst*b.N)/b.Elapsed().Seconds(), "msgs/s")
}
