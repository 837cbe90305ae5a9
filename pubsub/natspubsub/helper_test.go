package natspubsub_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

// patience bounds the wait for what has to happen.
const patience = 30 * time.Second

func newClient(b driver.Broker) *pubsub.Client {
	return pubsub.NewClient(b, &pubsub.Options{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// run runs s until the returned function is called.
func run(t *testing.T, s *pubsub.Subscription) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("Run returned %v before it was ready", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func open(t *testing.T, b *natspubsub.Broker, topic, name string, lease time.Duration) driver.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{Topic: topic, Name: name, Lease: lease, MaxInFlight: 100})
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func send(t *testing.T, b *natspubsub.Broker, topic string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Publish(t.Context(), topic, []driver.Message{{ID: id, Data: []byte(id)}}); err != nil {
			t.Fatalf("Publish(%q): %v", id, err)
		}
	}
}

// receive returns the next n deliveries' data, acknowledged.
func receive(t *testing.T, s driver.Subscription, n int) []string {
	t.Helper()
	got, err := tryReceive(t.Context(), s, n)
	if err != nil {
		t.Fatalf("received %v, then %v, want %d", got, err, n)
	}
	return got
}

// tryReceive is receive for a goroutine that may outlive its test.
func tryReceive(ctx context.Context, s driver.Subscription, n int) (got []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(got) < n {
		ds, err := s.Receive(ctx, n-len(got))
		if ctx.Err() != nil {
			return got, errors.Join(err, ctx.Err())
		}
		if err != nil {
			<-time.After(20 * time.Millisecond) // as pubsub backs off
		}
		for _, d := range ds {
			got = append(got, string(d.Data))
		}
		if err := s.Ack(ctx, ds); err != nil {
			return got, err
		}
	}
	return got, nil
}
