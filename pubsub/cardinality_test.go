package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// series counts what the registry would show a scrape: label sets, not the lines of their buckets.
func (b *bench) series() int {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

// heap returns the bytes in use once what is garbage is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held until now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far from 8 EiB
}

// TestStrangersMessagesMakeNoSeries: a hundred thousand messages, each with IDs, a type, a key and attributes of its
// own, and a failure of its own text for every hundredth, leave neither series nor memory behind.
func TestStrangersMessagesMakeNoSeries(t *testing.T) {
	const messages, batch = 100_000, 1000
	mem := &mempubsub.Broker{}
	b := newBench(t, mem)
	var handled atomic.Int64
	seen := make(chan struct{}, batch)
	stop := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
		defer func() { seen <- struct{}{} }()
		if n := handled.Add(1); n%100 == 0 {
			return resilience.Permanent(errors.New(m.ID + " of " + m.Type))
		}
		return nil
	}, &pubsub.SubscriptionOptions{Concurrency: 64}))
	send := func(from, to int) {
		for ; from < to; from += batch {
			ms := make([]driver.Message, batch)
			for i := range ms {
				id := fmt.Sprintf("%08x", from+i)
				ms[i] = driver.Message{ID: id, Key: "k" + id, Attributes: driver.AttributesOf(map[string]string{
					"ce-id": id, "ce-type": "t" + id, "ce-source": "s" + id, "content-type": "c" + id,
					"ce-correlationid": "c" + id, "ce-causationid": "b" + id, "a" + id: id,
					"mainstay-dead-letter-topic": "d" + id, "mainstay-dead-letter-reason": "r" + id,
				})}
			}
			if err := mem.Publish(t.Context(), "orders", ms); err != nil {
				t.Fatal(err)
			}
			for range ms {
				<-seen
			}
		}
	}
	send(0, 2*batch) // what is made once is made
	b.logs.reset()
	series, bytes := b.series(), heap()
	send(2*batch, messages)
	b.logs.reset()
	if got := b.series(); got != series {
		t.Errorf("%d series after %d messages, want %d as after the first", got, messages, series)
	}
	if grown := heap() - bytes; grown > 8<<20 {
		t.Errorf("%d bytes more in use than after the first messages, want no more than some MiB", grown)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestInventedTopicsMakeFewSeries: names that are no topic make none, and too many that are make one for all.
func TestInventedTopicsMakeFewSeries(t *testing.T) {
	b := newBench(t, &mempubsub.Broker{})
	b.publish("orders", &pubsub.Message{})
	before := b.series()
	for i := range 100_000 {
		err := b.client.Publish(t.Context(), fmt.Sprintf("a b %d", i), &pubsub.Message{})
		if _, ok := errors.AsType[*pubsub.InvalidError](err); !ok {
			t.Fatalf("Publish = %v, want an *InvalidError", err)
		}
	}
	if got := b.series(); got != before {
		t.Errorf("%d series after names that are no topic, want %d", got, before)
	}
	const bound = 1000
	for i := range bound + 500 {
		b.publish(fmt.Sprintf("tenant.%d", i), &pubsub.Message{})
	}
	if got, want := b.series(), before+bound; got != want {
		t.Errorf("%d series after %d topics, want %d: the first ones, and one for the rest", got, bound+500, want)
	}
	const name = "messaging_client_operation_duration_seconds"
	if got := b.metric(name, "messaging_destination_name", "__other__"); got != 501 {
		t.Errorf("%v calls under __other__, want the 501 past the bound", got)
	}
	lost := b.metric("metrics_label_values_overflowed_total", "label", "messaging_destination_name")
	if lost != 501 {
		t.Errorf("%v values overflowed, want 501", lost)
	}
	b.publish("orders", &pubsub.Message{})
	if got := b.metric(name, "messaging_destination_name", "orders"); got != 2 {
		t.Errorf("%v calls of the first topic, want 2: it keeps its name", got)
	}
}
