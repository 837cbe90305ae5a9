package natspubsub_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
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

// electing is a cluster that has no leader the next few times that it is asked for a stream.
type electing struct {
	jetstream.JetStream
	left atomic.Int32
	code int
}

func (e *electing) StreamNameBySubject(ctx context.Context, subject string) (string, error) {
	if e.left.Add(-1) >= 0 {
		return "", &jetstream.APIError{Code: e.code, ErrorCode: 10008, Description: "temporarily unavailable"}
	}
	return e.JetStream.StreamNameBySubject(ctx, subject)
}

func TestAPinIsLetGoOfWhileALeaderIsChosen(t *testing.T) {
	n := startServer(t)
	js := &electing{JetStream: jetStream(t, n.conn), code: 503}
	ordered := driver.SubscribeOptions{
		Topic: "orders", Name: "stock", Lease: time.Hour, MaxInFlight: 10, Ordered: true,
		Revoke: func([]*driver.Delivery) {},
	}
	one, err := natspubsub.New(js, nil).Subscribe(t.Context(), ordered)
	if err != nil {
		t.Fatal(err)
	}
	two := openReplica(t, n, time.Hour)
	send(t, natspubsub.New(jetStream(t, n.conn), nil), "orders", "1", "2")
	(&replica{Subscription: one}).hold(t, 1)
	js.left.Store(2)
	if err := one.Close(t.Context()); err != nil {
		t.Errorf("Close = %v, want nil: a leader is there a moment later", err)
	}
	if got, _ := two.hold(t, 2); !slices.Equal(got, []string{"1", "2"}) { // at once, not in two hours
		t.Errorf("the second received %v, want 1 and 2", got)
	}
}

func TestAPinThatCannotBeLetGoOfIsAnError(t *testing.T) {
	n := startServer(t)
	js := &electing{JetStream: jetStream(t, n.conn), code: 400}
	one, err := natspubsub.New(js, nil).Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "orders", Name: "stock", Lease: time.Hour, MaxInFlight: 10, Ordered: true,
		Revoke: func([]*driver.Delivery) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, natspubsub.New(jetStream(t, n.conn), nil), "orders", "1")
	(&replica{Subscription: one}).hold(t, 1)
	js.left.Store(1)
	if err := one.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "natspubsub: close: ") {
		t.Errorf("Close = %v, want the reason: nobody takes over before the pin ends", err)
	}
}

func TestOneThatWasReplacedTakesNoPinAway(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	one := openReplica(t, n, time.Hour) // renews its pin too seldom to hear that it has none
	send(t, b, "orders", "1")
	one.hold(t, 1)
	s, err := js.Stream(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	two := openReplica(t, n, time.Hour)
	if err := s.UnpinConsumer(t.Context(), "stock-orders", "mainstay"); err != nil {
		t.Fatal(err)
	}
	send(t, b, "orders", "2")
	two.hold(t, 1)
	pinned := func() string {
		c, err := s.Consumer(t.Context(), "stock-orders")
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().PriorityGroups[0].PinnedClientID
	}
	before := pinned()
	if err := one.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := pinned(); before == "" || got != before {
		t.Errorf("%q is pinned after the other has closed, want %q still", got, before)
	}
}
