package natspubsub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

func TestMessageOfAKilledProcessComesBackAfterItsLease(t *testing.T) {
	n := startServer(t)
	victim := connect(t, n.s.ClientURL())
	const lease = 2 * time.Second
	begun := make(chan struct{}, 1)
	release := make(chan struct{})
	client := newClient(natspubsub.New(jetStream(t, victim), nil))
	sub := client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
		begun <- struct{}{}
		<-release
		return nil
	}, &pubsub.SubscriptionOptions{Lease: lease, HandlerTimeout: -1})
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(context.Background()) }()
	<-sub.Ready()
	survivor := natspubsub.New(jetStream(t, n.conn), nil)
	send(t, survivor, "orders", "1")
	<-begun
	// Alive and slow: nobody else gets it.
	other := open(t, survivor, "orders", "stock", lease)
	ctx, cancel := context.WithTimeout(t.Context(), 2*lease)
	defer cancel()
	if ds, err := other.Receive(ctx, 1); len(ds) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Receive = %v, %v while the handler works, want nothing", ds, err)
	}
	victim.Close() // as the server sees a process that is killed
	if got := receive(t, other, 1); got[0] != "1" {
		t.Errorf("received %v, want the message", got)
	}
	close(release)
	if err := <-ended; !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Run = %v, want an error that says the connection is closed", err)
	}
}

func TestLastDeliveryIsNotDropped(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	if err := b.Declare(t.Context(), []string{"orders", "orders.dead-letter.stock"}); err != nil {
		t.Fatal(err)
	}
	// Somebody gave our consumer a limit of the server's own.
	_, err := js.CreateConsumer(t.Context(), "orders", jetstream.ConsumerConfig{
		Durable: "stock-orders", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "orders", MaxDeliver: 3,
		Metadata: map[string]string{"mainstay-subscription": "stock"},
	})
	if err != nil {
		t.Fatal(err)
	}
	letters := make(chan *pubsub.Message, 10)
	client := newClient(b)
	run(t, client.Subscribe("orders.dead-letter.stock", "reader", func(_ context.Context, m *pubsub.Message) error {
		letters <- m
		return nil
	}, nil))

	const lease = 300 * time.Millisecond
	if err := client.Publish(t.Context(), "orders", &pubsub.Message{ID: "poison"}); err != nil {
		t.Fatal(err)
	}
	// Three processes die while they hold it.
	for attempt := 1; attempt <= 3; attempt++ {
		s := open(t, b, "orders", "stock", lease)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ds, err := s.Receive(ctx, 1)
		cancel()
		if err != nil || ds[0].Attempt != attempt {
			t.Fatalf("delivery %d: %v, %v", attempt, ds, err)
		}
	}
	run(t, client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error { return errors.New("boom") },
		&pubsub.SubscriptionOptions{Lease: 10 * lease, Retry: pubsub.Retry{
			MaxAttempts: 3, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond,
		}}))
	select {
	case m := <-letters:
		if m.ID != "poison" || m.DeadLetter.Attempts != 6 || m.DeadLetter.Position != "orders/1" {
			t.Errorf("dead letter %s %+v, want poison after 3 lost deliveries and 3 attempts", m.ID, m.DeadLetter)
		}
	case <-time.After(patience):
		t.Fatal("no dead letter: the server dropped the message")
	}
	select {
	case m := <-letters:
		t.Errorf("a second dead letter %v", m)
	case <-time.After(3 * lease):
	}
}

func TestLeaseOfAnExistingConsumerIsUpdated(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	open(t, b, "orders", "stock", time.Minute)
	open(t, b, "orders", "stock", time.Hour)
	c, err := js.Consumer(t.Context(), "orders", "stock-orders")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config.AckWait; got != time.Hour {
		t.Errorf("AckWait = %v, want 1h", got)
	}
}

func TestChangeOfAConsumerIsLogged(t *testing.T) {
	n := startServer(t)
	var log bytes.Buffer
	b := natspubsub.New(jetStream(t, n.conn), &natspubsub.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	open(t, b, "orders", "stock", time.Minute)
	open(t, b, "orders", "stock", time.Minute)
	if log.Len() > 0 {
		t.Errorf("logged %s, want nothing: nothing changed", &log)
	}
	open(t, b, "orders", "stock", time.Hour)
	if got := log.String(); !strings.Contains(got, "AckWait is 1m0s, want 1h0m0s") || strings.Contains(got, ";") {
		t.Errorf("logged %q, want what was changed, alone", got)
	}
}
