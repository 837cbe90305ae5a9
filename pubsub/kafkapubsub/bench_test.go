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

// The two take the same way: stored, received, committed, in batches of 500 messages of 256 bytes, over 100 keys.
const benchBatch, benchBytes, benchKeys = 500, 256, 100

func BenchmarkRawAsync(b *testing.B) {
	_, seeds := startCluster(b)
	if err := kafkapubsub.New(newKafka(b, seeds), nil).Declare(b.Context(), []string{"bench"}); err != nil {
		b.Fatal(err)
	}
	producer := newKafka(b, seeds)
	consumer := newKafka(b, seeds, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("bench"), kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	data := make([]byte, benchBytes)
	b.ReportAllocs()
	for b.Loop() {
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
		for got := 0; got < benchBatch; {
			fetches := consumer.PollRecords(b.Context(), benchBatch)
			if err := fetches.Err(); err != nil {
				b.Fatal(err)
			}
			got += fetches.NumRecords()
			if err := consumer.CommitRecords(b.Context(), fetches.Records()...); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(benchBatch*b.N)/b.Elapsed().Seconds(), "msgs/s")
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
		ms[i] = driver.Message{Key: fmt.Sprint(i % benchKeys), Data: make([]byte, benchBytes), Attributes: map[string]string{
			"ce-specversion": "1.0", "ce-id": fmt.Sprint(i), "ce-source": "/bench", "ce-type": "bench",
		}}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := broker.Publish(b.Context(), "bench", ms); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < benchBatch; {
			ds, err := sub.Receive(b.Context(), benchBatch)
			if err != nil {
				b.Fatal(err)
			}
			got += len(ds)
			if err := sub.Ack(b.Context(), ds); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(benchBatch*b.N)/b.Elapsed().Seconds(), "msgs/s")
}
