package kafkapubsub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

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
	send(t, b, "a", "", all)
	stuck := receive(t, s, 1)
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
