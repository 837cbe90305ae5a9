package natspubsub_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// oldServer passes over what servers before 2.11 do not know.
type oldServer struct{ jetstream.JetStream }

func (s oldServer) CreateConsumer(
	ctx context.Context, stream string, c jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return s.JetStream.CreateConsumer(ctx, stream, unpinned(c))
}

func (s oldServer) UpdateConsumer(
	ctx context.Context, stream string, c jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return s.JetStream.UpdateConsumer(ctx, stream, unpinned(c))
}

func unpinned(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
	return c
}

func TestOrderIsRefusedOnAServerThatCannotPin(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(oldServer{jetStream(t, n.conn)}, nil)
	for _, when := range []string{"the consumer is made", "the consumer exists"} {
		s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders", Name: "stock", Lease: time.Minute, MaxInFlight: 1, Ordered: true,
			Revoke: func([]*driver.Delivery) {},
		})
		if s != nil || !errors.Is(err, pubsub.ErrUnordered) || !resilience.IsPermanent(err) {
			t.Errorf("when %s: Subscribe = %v, %v, want a permanent ErrUnordered", when, s, err)
		}
	}
	// Without order it works.
	s := open(t, b, "orders", "stock", time.Minute)
	send(t, b, "orders", "1")
	receive(t, s, 1)
}
