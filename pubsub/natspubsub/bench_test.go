package natspubsub_test

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

const (
	// benchWindow is how many messages are on their way unconfirmed, and how many are asked for at once, on the raw side.
	benchWindow = 256
	// benchBatch is how many messages a call of Publish has, benchReceive how many one of Receive asks for.
	benchBatch, benchReceive = 1000, 512
	// benchRound is how many messages each side moves before it is the other's turn.
	benchRound = 10_000
)

// benchData is a payload of 256 bytes.
var benchData = make([]byte, 256)

// benchEnvelope is what package pubsub writes for a topic with a codec, in a request that is not sampled.
var benchEnvelope = driver.AttributesOf(map[string]string{
	"ce-specversion": "1.0", "ce-id": "0190b8c5-7b1a-7000-8000-000000000000", "ce-source": "/orders",
	"ce-type": "order.placed", "ce-time": "2026-01-02T03:04:05.678901234Z", "content-type": "application/json",
	"x-correlation-id": "0190b8c5-7b1a-7000-8000-000000000001",
	"traceparent":      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
})

// BenchmarkBesideRaw moves messages through a server in this process: published, received, acknowledged, by the adapter
// and, turn and turn about, by the raw client with windows of the same size. "ratio" is the adapter's throughput as a
// part of the raw client's: of the median rounds. The raw client sends bare payloads; where there is an envelope,
// "ratio-same-headers" has a raw client that sends that too, and an ID to deduplicate by.
func BenchmarkBesideRaw(b *testing.B) {
	b.Run("Bare", func(b *testing.B) { besideRaw(b, nil) })
	b.Run("Envelope", func(b *testing.B) { besideRaw(b, benchEnvelope) })
}

func besideRaw(b *testing.B, as driver.Attributes) {
	sides := []*benchSide{adapterSide(b, as), rawSide(b, nil)}
	if as != nil {
		sides = append(sides, rawSide(b, as))
	}
	for b.Loop() {
		for _, s := range sides {
			s.round(b)
		}
	}
	ours, raw := sides[0], sides[1]
	b.ReportMetric(ours.median(), "ns/msg")
	b.ReportMetric(raw.median(), "ns/msg-raw")
	b.ReportMetric(raw.median()/ours.median(), "ratio")
	b.ReportMetric(float64(ours.mallocs)/float64(ours.moved), "allocs/msg")
	b.ReportMetric(float64(raw.mallocs)/float64(raw.moved), "allocs/msg-raw")
	if len(sides) > 2 {
		b.ReportMetric(sides[2].median()/ours.median(), "ratio-same-headers")
		b.ReportMetric(float64(sides[2].mallocs)/float64(sides[2].moved), "allocs/msg-same-headers")
	}
}

// benchSide is one way through a server of its own.
type benchSide struct {
	publish func(n int) error
	receive func(n int) error // n messages, acknowledged

	took    []float64 // ns a message, of each round
	mallocs uint64
	moved   int
}

func (s *benchSide) round(b *testing.B) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.receive(benchRound); err != nil {
			b.Error(err)
		}
	})
	if err := s.publish(benchRound); err != nil {
		b.Fatal(err)
	}
	wg.Wait()
	s.took = append(s.took, float64(time.Since(began).Nanoseconds())/benchRound)
	runtime.ReadMemStats(&after)
	s.mallocs += after.Mallocs - before.Mallocs
	s.moved += benchRound
}

func (s *benchSide) median() float64 {
	slices.Sort(s.took)
	return s.took[len(s.took)/2]
}

func rawSide(b *testing.B, as driver.Attributes) *benchSide {
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
	received := make(chan struct{}, 2*benchRound)
	consuming, err := c.Consume(func(m jetstream.Msg) {
		if err := m.Ack(); err != nil {
			b.Errorf("Ack: %v", err)
		}
		received <- struct{}{}
	}, jetstream.PullMaxMessages(benchWindow))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(consuming.Stop)
	ids := 0
	return &benchSide{
		publish: func(n int) error {
			acks := make([]jetstream.PubAckFuture, 0, n)
			for range n {
				m := &nats.Msg{Subject: "orders", Data: benchData}
				if as != nil {
					ids++
					m.Header = nats.Header{jetstream.MsgIDHeader: {strconv.Itoa(ids)}}
					for _, a := range as {
						m.Header[a.Name] = []string{a.Value}
					}
				}
				ack, err := js.PublishMsgAsync(m)
				for errors.Is(err, jetstream.ErrTooManyStalledMsgs) { // on a machine that others keep busy
					ack, err = js.PublishMsgAsync(m)
				}
				if err != nil {
					return err
				}
				acks = append(acks, ack)
			}
			for _, ack := range acks {
				select {
				case <-ack.Ok():
				case err := <-ack.Err():
					return err
				}
			}
			return nil
		},
		receive: func(n int) error {
			for range n {
				<-received
			}
			return nil
		},
	}
}

func adapterSide(b *testing.B, as driver.Attributes) *benchSide {
	n := startServer(b)
	broker := natspubsub.New(jetStream(b, n.conn), nil)
	s, err := broker.Subscribe(b.Context(), driver.SubscribeOptions{
		Topic: "orders", Name: "stock", Lease: time.Minute, MaxInFlight: 4 * benchReceive,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	ids := 0
	return &benchSide{
		publish: func(n int) error {
			ms := make([]driver.Message, benchBatch)
			for left := n; left > 0; left -= benchBatch {
				for i := range ms {
					ids++
					ms[i] = driver.Message{ID: strconv.Itoa(ids), Attributes: as, Data: benchData}
				}
				if err := broker.Publish(b.Context(), "orders", ms); err != nil {
					return err
				}
			}
			return nil
		},
		receive: func(n int) error { return receiveAndAck(b.Context(), s, n) },
	}
}

// receiveAndAck does both at a time, as package pubsub does.
func receiveAndAck(ctx context.Context, s driver.Subscription, n int) error {
	received, acked := make(chan []*driver.Delivery, 4), make(chan error, 1)
	go func() {
		var err error
		for ds := range received {
			err = cmp.Or(err, s.Ack(ctx, ds))
		}
		acked <- err
	}()
	var err error
	for n > 0 && err == nil {
		var ds []*driver.Delivery
		ds, err = s.Receive(ctx, min(n, benchReceive))
		n -= len(ds)
		received <- ds
	}
	close(received)
	return cmp.Or(err, <-acked)
}
