package kafkapubsub_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

// What both sides move in a round: 256-byte messages, published in calls of benchBatch and received meanwhile.
const benchRound, benchBatch, benchTake, benchBytes = 20_000, 1000, 512, 256

// side is one way to publish n messages, and to receive and acknowledge some.
type side struct {
	publish func(n int) error
	receive func() (int, error)
	took    time.Duration
	mallocs uint64
}

// round moves benchRound messages.
func (s *side) round(b *testing.B) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	var publishing sync.WaitGroup
	publishing.Go(func() {
		if err := s.publish(benchRound); err != nil {
			b.Error(err)
		}
	})
	for got := 0; got < benchRound; {
		n, err := s.receive()
		if err != nil {
			b.Fatal(err)
		}
		got += n
	}
	publishing.Wait()
	s.took += time.Since(began)
	runtime.ReadMemStats(&after)
	s.mallocs += after.Mallocs - before.Mallocs
}

func (s *side) report(b *testing.B, name string) {
	total := float64(benchRound) * float64(b.N)
	b.ReportMetric(float64(s.took.Nanoseconds())/total, name+"-ns/msg")
	b.ReportMetric(float64(s.mallocs)/total, name+"-allocs/msg")
}

// BenchmarkBesideRaw measures the adapter alone and franz-go alone in turn: Publish, Receive and Ack beside Produce,
// PollRecords and a commit. The adapter's messages carry what package pubsub writes to each, the raw ones nothing.
func BenchmarkBesideRaw(b *testing.B) {
	ours, raw := adapterSide(b), rawSide(b)
	for b.Loop() {
		ours.round(b)
		raw.round(b)
	}
	ours.report(b, "ours")
	raw.report(b, "raw")
	b.ReportMetric(float64(raw.took)/float64(ours.took), "of-raw")
}

func BenchmarkAdapter(b *testing.B) {
	ours := adapterSide(b)
	b.ReportAllocs()
	for b.Loop() {
		ours.round(b)
	}
	ours.report(b, "ours")
}

func benchCluster(b *testing.B) []string {
	_, seeds := startCluster(b, kfake.DefaultNumPartitions(4))
	return seeds
}

func benchClient(b *testing.B, seeds []string, opts ...kgo.Opt) *kgo.Client {
	return newKafka(b, seeds, append([]kgo.Opt{kgo.ProducerLinger(0)}, opts...)...)
}

func rawSide(b *testing.B) *side {
	seeds := benchCluster(b)
	producer := benchClient(b, seeds)
	if err := kafkapubsub.New(producer, nil).Declare(b.Context(), []string{"bench"}); err != nil {
		b.Fatal(err)
	}
	consumer := benchClient(b, seeds, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("bench"), kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	data := make([]byte, benchBytes)
	return &side{
		publish: func(n int) error {
			for range n {
				producer.Produce(b.Context(), &kgo.Record{Topic: "bench", Value: data}, func(_ *kgo.Record, err error) {
					if err != nil {
						b.Error(err)
					}
				})
			}
			return producer.Flush(b.Context())
		},
		receive: func() (int, error) {
			fetches := consumer.PollFetches(b.Context())
			if err := fetches.Err(); err != nil {
				return 0, err
			}
			return fetches.NumRecords(), consumer.CommitUncommittedOffsets(b.Context())
		},
	}
}

func adapterSide(b *testing.B) *side {
	broker := kafkapubsub.New(benchClient(b, benchCluster(b)), nil)
	sub, err := broker.Subscribe(b.Context(), driver.SubscribeOptions{
		Topic: "bench", Name: "one", Lease: time.Minute, MaxInFlight: 2 * benchTake,
		Revoke: func([]*driver.Delivery) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := sub.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	ms := benchMessages()
	return &side{
		publish: func(n int) error {
			for range n / benchBatch {
				if err := broker.Publish(b.Context(), "bench", ms); err != nil {
					return err
				}
			}
			return nil
		},
		receive: func() (int, error) {
			t0 := time.Now()
			ds, err := sub.Receive(b.Context(), benchTake)
			if err != nil {
				return 0, err
			}
			t1 := time.Now()
			tR += t1.Sub(t0)
			defer func() { tA += time.Since(t1); tN++ }()
			return len(ds), sub.Ack(b.Context(), ds)
		},
	}
}

// benchMessages are as package pubsub hands them on.
func benchMessages() []driver.Message {
	ms := make([]driver.Message, benchBatch)
	for i := range ms {
		ms[i] = driver.Message{Data: make([]byte, benchBytes), Attributes: driver.Attributes{
			{Name: "ce-specversion", Value: "1.0"},
			{Name: "ce-id", Value: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", i)},
			{Name: "ce-source", Value: "/benchmark"},
			{Name: "ce-type", Value: "bench"},
			{Name: "ce-time", Value: "2026-01-02T03:04:05.678901234Z"},
			{Name: "content-type", Value: "application/octet-stream"},
			{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		}}
	}
	return ms
}

var tR, tA time.Duration
var tN int
