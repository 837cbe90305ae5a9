package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestServerThatIsDownAtTheStart(t *testing.T) {
	n := startServer(t)
	url := n.s.ClientURL()
	n.stop()
	nc, err := nats.Connect(url,
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	b := natspubsub.New(jetStream(t, nc), nil)
	client := newClient(b)
	if err := client.Ping(t.Context()); !errors.Is(err, nats.ErrDisconnected) {
		t.Errorf("Ping = %v, want ErrDisconnected", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := client.Publish(ctx, "orders", &pubsub.Message{}); err == nil {
		t.Error("Publish = nil while the server is down")
	}
	handled := make(chan string, 10)
	sub := client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
		handled <- m.ID
		return nil
	}, nil)
	runCtx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(runCtx) }()
	select {
	case <-sub.Ready():
		t.Error("ready while the server is down")
	case <-time.After(200 * time.Millisecond):
	}
	n.start()
	select {
	case <-sub.Ready():
	case <-time.After(patience):
		t.Fatal("not ready though the server is up")
	}
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v, want nil", err)
	}
	if err := client.Publish(t.Context(), "orders", &pubsub.Message{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	if got := <-handled; got != "1" {
		t.Errorf("handled %q, want 1", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestLostConnection(t *testing.T) {
	t.Run("EndsReceive", func(t *testing.T) {
		n := startServer(t)
		s := open(t, natspubsub.New(jetStream(t, n.conn), nil), "orders", "stock", time.Minute)
		n.stop()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if ds, err := s.Receive(ctx, 1); !errors.Is(err, nats.ErrDisconnected) || resilience.IsPermanent(err) {
			t.Errorf("Receive = %v, %v, want ErrDisconnected, to be tried again", ds, err)
		}
	})
	t.Run("ThatIsBackAtOnceCostsNoWait", func(t *testing.T) {
		n := startServer(t)
		b := natspubsub.New(jetStream(t, n.conn), nil)
		s := open(t, b, "orders", "stock", time.Minute)
		fastest := time.Hour
		// A slow machine may need several restarts to show that it does not wait for the lost request to end.
		for restarts := uint64(1); restarts <= 5 && fastest > 3*time.Second; restarts++ {
			received := make(chan error, 1)
			go func() {
				_, err := tryReceive(t.Context(), s, 1)
				received <- err
			}()
			<-time.After(100 * time.Millisecond) // the request is at the server, most likely
			n.stop()
			n.start()
			began := time.Now()
			for n.conn.Stats().Reconnects < restarts {
				<-time.After(5 * time.Millisecond)
			}
			send(t, b, "orders", fmt.Sprint(restarts))
			if err := <-received; err != nil {
				t.Fatal(err)
			}
			fastest = min(fastest, time.Since(began))
		}
		if fastest > 3*time.Second {
			t.Errorf("the message arrived after %v, want well before the lost request would have ended", fastest)
		}
	})
}

func TestRestartInTheMiddleLosesNothing(t *testing.T) {
	n := startServer(t)
	client := newClient(natspubsub.New(jetStream(t, n.conn), nil))
	var mu sync.Mutex
	handled := map[string]bool{}
	all := make(chan struct{})
	const total = 300
	run(t, client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if handled[m.ID] = true; len(handled) == total {
			close(all)
			handled["closed"] = true
		}
		return nil
	}, &pubsub.SubscriptionOptions{Lease: time.Second}))
	for i := range total {
		if i == total/2 {
			n.stop()
			n.start()
		}
		m := &pubsub.Message{ID: fmt.Sprint(i)}
		for late := time.Now().Add(patience); ; {
			if err := client.Publish(t.Context(), "orders", m); err == nil {
				break
			} else if time.Now().After(late) {
				t.Fatalf("Publish: %v", err)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	select {
	case <-all:
	case <-time.After(patience):
		mu.Lock()
		defer mu.Unlock()
		t.Errorf("%d handled, want %d", len(handled), total)
	}
}
