package kafkapubsub

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

func TestSubscriptionBoundsTheWaitsOfItsClient(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for name, c := range map[string]struct {
		opts                     []kgo.Opt
		wait, age, beat, session time.Duration
	}{
		"Default": {nil, 500 * time.Millisecond, time.Minute, 3 * time.Second, 45 * time.Second},
		"Shorter": {
			[]kgo.Opt{
				kgo.FetchMaxWait(time.Second / 10), kgo.MetadataMaxAge(10 * time.Second),
				kgo.HeartbeatInterval(time.Second),
			},
			time.Second / 10, 10 * time.Second, time.Second, 45 * time.Second,
		},
		"MetadataNoOlderThanTheClientAsks": {
			[]kgo.Opt{kgo.MetadataMinAge(2 * time.Minute)},
			500 * time.Millisecond, 2 * time.Minute, 3 * time.Second, 45 * time.Second,
		},
		"HeartbeatsWithinTheSession": {
			nil, 500 * time.Millisecond, time.Minute, 2 * time.Second, 6 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := kgo.NewClient(append(c.opts, kgo.SeedBrokers(cluster.ListenAddrs()...))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			s, err := New(client, &Options{SessionTimeout: c.session}).Subscribe(t.Context(), driver.SubscribeOptions{
				Topic: "a", Name: "one", Lease: time.Minute, MaxInFlight: 1, Revoke: func([]*driver.Delivery) {},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			own := s.(*subscription).client
			for option, want := range map[string]struct {
				f    any
				want time.Duration
			}{
				"FetchMaxWait":      {kgo.FetchMaxWait, c.wait},
				"MetadataMaxAge":    {kgo.MetadataMaxAge, c.age},
				"HeartbeatInterval": {kgo.HeartbeatInterval, c.beat},
				"SessionTimeout":    {kgo.SessionTimeout, c.session},
			} {
				if got := own.OptValue(want.f); got != want.want {
					t.Errorf("%s = %v, want %v", option, got, want.want)
				}
			}
		})
	}
}

func TestNoMoreLiesReadyThanItsBound(t *testing.T) {
	for name, c := range map[string]struct{ messages, size, most int }{
		"Records": {4 * pollRecords, 0, lowRecords + pollRecords},
		"Bytes":   {120, 1 << 19, lowBytes>>19 + 8}, // a fetch has 2 MiB, and what it is in the middle of
	} {
		t.Run(name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(1))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.FetchMaxBytes(2<<20),
				kgo.ProducerBatchCompression(kgo.NoCompression()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			b := New(client, &Options{MaxUncommitted: -1})
			sub, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
				Topic: "a", Name: "one", Lease: time.Minute, MaxInFlight: 1, Revoke: func([]*driver.Delivery) {},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := sub.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			ms := make([]driver.Message, c.messages)
			for i := range ms {
				ms[i].Data = make([]byte, c.size)
			}
			if err := b.Publish(t.Context(), "a", ms); err != nil {
				t.Fatal(err)
			}
			s := sub.(*subscription)
			for end := time.Now().Add(time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
				s.mu.Lock()
				n := s.ready.len()
				s.mu.Unlock()
				if n > c.most {
					t.Fatalf("%d are ready, want at most %d", n, c.most)
				}
			}
		})
	}
}
