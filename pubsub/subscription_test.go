package pubsub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// bench is what a test works with: a broker, a client of it, and what the client logs and counts.
type bench struct {
	t      *testing.T
	client *pubsub.Client
	logs   *lockedBuffer
	reg    *prometheus.Registry
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBench(t *testing.T, b driver.Broker) *bench {
	logs := &lockedBuffer{}
	reg := prometheus.NewRegistry()
	return &bench{t: t, logs: logs, reg: reg, client: pubsub.NewClient(b, &pubsub.Options{
		Source: "/test", Registerer: reg, Logger: slog.New(slog.NewTextHandler(logs, nil)),
	})}
}

// run runs s until the returned function is called, which returns what Run returned.
func run(t *testing.T, s *pubsub.Subscription) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatalf("Run returned %v before it was ready", err)
	}
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// pass lets d pass in a bubble, and all that is due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) publish(topic string, ms ...*pubsub.Message) {
	b.t.Helper()
	if err := b.client.Publish(b.t.Context(), topic, ms...); err != nil {
		b.t.Fatalf("Publish(%q): %v", topic, err)
	}
}

// collect subscribes and returns what arrives, read by the returned function.
func (b *bench) collect(topic string) (received func() []*pubsub.Message, stop func() error) {
	var mu sync.Mutex
	var got []*pubsub.Message
	stop = run(b.t, b.client.Subscribe(topic, "collector", func(_ context.Context, m *pubsub.Message) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m)
		return nil
	}, nil))
	return func() []*pubsub.Message {
		mu.Lock()
		defer mu.Unlock()
		return append([]*pubsub.Message(nil), got...)
	}, stop
}

func TestSubscriptionCountsAttemptsThenDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &mempubsub.Broker{})
		letters, stopLetters := b.collect("orders.dead-letter.stock")
		defer stopLetters()
		runs := 0
		stop := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			runs++
			if m.Attempt != runs {
				t.Errorf("m.Attempt = %d in run %d", m.Attempt, runs)
			}
			return errors.New("boom")
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 4}}))
		b.publish("orders", &pubsub.Message{ID: "m-1", Key: "k", Data: []byte("\x00body\xff")})
		pass(time.Hour)
		if runs != 4 {
			t.Errorf("the handler ran %d times, want 4", runs)
		}
		got := letters()
		if len(got) != 1 {
			t.Fatalf("%d dead letters, want 1", len(got))
		}
		l := got[0]
		if string(l.Data) != "\x00body\xff" || l.ID != "m-1" || l.Key != "k" {
			t.Errorf("dead letter is %q %q %q, want the original's ID, key and bytes", l.ID, l.Key, l.Data)
		}
		if d := l.DeadLetter; d == nil || d.Topic != "orders" || d.Subscription != "stock" || d.Attempts != 4 ||
			d.Error != "boom" || d.Reason != "exhausted" {
			t.Errorf("DeadLetter = %+v, want topic, subscription, 4 attempts, boom", d)
		}
		if err := stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}
