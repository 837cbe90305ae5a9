package kafkapubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

func send(t *testing.T, b *kafkapubsub.Broker, topic, key string, n int) {
	t.Helper()
	var ms []driver.Message
	for i := range n {
		ms = append(ms, driver.Message{ID: fmt.Sprint(i), Key: key, Data: fmt.Append(nil, i)})
	}
	if err := b.Publish(t.Context(), topic, ms); err != nil {
		t.Fatal(err)
	}
}

func TestPartitionRunsNoFurtherAheadThanMaxUncommitted(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	const most, all = 10, 100
	b := kafkapubsub.New(newKafka(t, seeds), &kafkapubsub.Options{MaxUncommitted: most})
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "", 4)
	stuck := receive(t, s, 1)
	send(t, b, "a", "", all-4) // with some here already
	got := 1
	for got <= all {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		ds, err := s.Receive(ctx, 1)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got += len(ds)
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
	if got > most {
		t.Errorf("received %d with the first one unfinished, want at most %d", got, most)
	}
	if err := s.Ack(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	for got < all {
		ds := receive(t, s, 1)
		got += len(ds)
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPartitionAtItsBoundLeavesTheOthersAlone(t *testing.T) {
	_, seeds := startCluster(t)
	b := kafkapubsub.New(newKafka(t, seeds), &kafkapubsub.Options{MaxUncommitted: 10})
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	const n = 100
	fill(t, seeds, "a", n, asItIs)
	var stuck []*driver.Delivery
	for other := 0; other < n; {
		var done []*driver.Delivery
		for _, d := range receive(t, s, 1) {
			if partitionsOf([]*driver.Delivery{d})[0] == "0" {
				stuck = append(stuck, d)
			} else {
				done = append(done, d)
			}
		}
		other += len(done)
		if err := s.Ack(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	if len(stuck) > 10 {
		t.Errorf("received %d of the partition of which nothing is done, want at most 10", len(stuck))
	}
}

func TestKeyWaitsBehindItsReleasedMessage(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 3)
	if err := s.Release(t.Context(), receive(t, s, 1), 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 3 {
		ds := receive(t, s, 1)
		got = append(got, string(ds[0].Data))
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != "[0 1 2]" {
		t.Errorf("received %v, want 0, 1, 2", got)
	}
}

func TestReceivesMoreThanLiesReady(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	const n, most = 20_000, 4 << 20
	ms := make([]driver.Message, n)
	for i := range ms {
		ms[i] = driver.Message{Data: fmt.Appendf(nil, "%0*d", most/n*2, i)} // more than one bound, and the other
	}
	if err := b.Publish(t.Context(), "a", ms); err != nil {
		t.Fatal(err)
	}
	for got := 0; got < n; {
		ds := receive(t, s, 500)
		for _, d := range ds {
			if string(d.Data) != string(ms[got].Data) {
				t.Fatalf("received %s, want %s", d.Data, ms[got].Data)
			}
			got++
		}
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
}

// The broker refuses every fetch, until end is called, and counts them.
func refuseFetches(fake *kfake.Cluster) (n *atomic.Int32, end func()) {
	n = new(atomic.Int32)
	var over atomic.Bool
	fake.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if over.Load() {
			return nil, nil, false
		}
		fake.KeepControl()
		n.Add(1)
		asked, res := r.(*kmsg.FetchRequest), r.ResponseKind().(*kmsg.FetchResponse)
		if len(asked.Topics) == 0 {
			res.ErrorCode = 70 // FETCH_SESSION_ID_NOT_FOUND: then the client says what it wants
		}
		for _, topic := range asked.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, 29 // TOPIC_AUTHORIZATION_FAILED
				rt.Partitions = append(rt.Partitions, rp)
			}
			res.Topics = append(res.Topics, rt)
		}
		return res, nil, true
	})
	return n, func() { over.Store(true) }
}

func TestReceiveSaysWhatTheBrokerRefusesAndGoesOnAfterwards(t *testing.T) {
	fake, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "", 1)
	if err := s.Ack(t.Context(), receive(t, s, 1)); err != nil {
		t.Fatal(err)
	}
	fetches, end := refuseFetches(fake)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ds, err := s.Receive(ctx, 1)
		cancel()
		if !errors.Is(err, kerr.TopicAuthorizationFailed) || len(ds) > 0 {
			t.Fatalf("Receive = %d, %v, want what the broker says", len(ds), err)
		}
	}
	// Nobody asks, so that one error is enough; what the client has begun with may still end.
	<-time.After(500 * time.Millisecond)
	before := fetches.Load()
	<-time.After(500 * time.Millisecond)
	if n := fetches.Load() - before; n > 1 {
		t.Errorf("%d fetches though nobody received the error, want none", n)
	}
	end()
	send(t, b, "a", "", 1)
	receive(t, s, 1) // errors that came before may be first
	if ds, err := none(t, s); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Receive afterwards = %d, %v, want nothing", len(ds), err)
	}
}

// none receives for a moment.
func none(t *testing.T, s driver.Subscription) ([]*driver.Delivery, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	return s.Receive(ctx, 1)
}

func TestKeyWaitsForTheLongestDelayOfIts(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 3)
	ds := receive(t, s, 2)
	for i, delay := range []time.Duration{time.Second, 100 * time.Millisecond} {
		if err := s.Release(t.Context(), ds[i:i+1], delay); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 3 {
		d := receive(t, s, 1)[0]
		got = append(got, string(d.Data))
	}
	if fmt.Sprint(got) != "[0 1 2]" {
		t.Errorf("received %v, want 0, 1, 2", got)
	}
}

func TestReleaseWakesWhoReceives(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 1)
	ds := receive(t, s, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	received := make(chan error, 1)
	go func() {
		_, err := s.Receive(ctx, 1)
		received <- err
	}()
	<-time.After(300 * time.Millisecond) // in Receive by then, most of the time
	if err := s.Release(t.Context(), ds, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-received; err != nil {
		t.Errorf("Receive = %v, want what was released", err)
	}
}

func TestReleasedMessagesComeWhenEachIsDue(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "", 2)
	ds := receive(t, s, 2)
	for i, delay := range []time.Duration{2 * time.Second, 100 * time.Millisecond} {
		if err := s.Release(t.Context(), ds[i:i+1], delay); err != nil {
			t.Fatal(err)
		}
	}
	if got := receive(t, s, 1)[0]; string(got.Data) != "1" {
		t.Errorf("received %s first, want 1", got.Data)
	}
	receive(t, s, 1)
}

func TestReleasedMessagesComeInTheirOrder(t *testing.T) {
	_, seeds := startCluster(t, kfake.DefaultNumPartitions(1))
	b := kafkapubsub.New(newKafka(t, seeds), nil)
	s := open(t, b, driver.SubscribeOptions{Topic: "a", Name: "one"})
	send(t, b, "a", "k", 4)
	ds := receive(t, s, 3)
	slices.Reverse(ds)
	if err := s.Release(t.Context(), ds, 0); err != nil {
		t.Fatal(err)
	}
	for i, d := range receive(t, s, 4) {
		if want := fmt.Sprint(i); string(d.Data) != want {
			t.Errorf("received %s, want %s", d.Data, want)
		}
	}
}
