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
