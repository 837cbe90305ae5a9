package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

func TestPublishDuringAnOutage(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	s := open(t, b, "orders", "stock", time.Minute)
	send(t, b, "orders", "before")
	held, err := s.Receive(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	n.stop()
	until(t, "the client notices", func() bool { return !n.conn.IsConnected() })
	batch := func(size int) []driver.Message {
		ms := make([]driver.Message, size)
		for i := range ms {
			ms[i] = driver.Message{ID: fmt.Sprintf("during-%d-%d", size, i), Data: []byte("during")}
		}
		return ms
	}
	// Many of them, so that what they leave behind would fill the client's window of unconfirmed messages.
	for range 20 {
		for _, size := range []int{1, 300} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			began := time.Now()
			err := b.Publish(ctx, "orders", batch(size))
			cancel()
			if took := time.Since(began); err == nil || took > patience {
				t.Fatalf("Publish of %d = %v after %v, want an error by the deadline", size, err, took)
			}
			if e, ok := errors.AsType[*driver.PublishError](err); ok && len(e.Indexes) != size {
				t.Errorf("%d of %d may not be stored, want all: nobody confirmed any", len(e.Indexes), size)
			}
		}
	}
	if err := s.Ack(t.Context(), held); err == nil {
		t.Error("Ack = nil without a server, want an error: it may be lost")
	}
	n.start()
	for late := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := b.Publish(ctx, "orders", append(batch(300), driver.Message{ID: "after", Data: []byte("after")}))
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("Publish = %v with the server back, want nil", err)
		}
	}
	receiveUntil(t, s, "after")
}

func TestReceiveDuringAnOutageIsNoBusyLoop(t *testing.T) {
	n := startServer(t)
	s := open(t, natspubsub.New(jetStream(t, n.conn), nil), "orders", "stock", time.Minute)
	n.stop()
	until(t, "the client notices", func() bool { return !n.conn.IsConnected() })
	// Whoever does not back off is held up by each call: the connection is looked at twice a second.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	calls := 0
	for ctx.Err() == nil {
		if _, err := s.Receive(ctx, 1); err == nil {
			t.Fatal("Receive = nil without a server")
		}
		calls++
	}
	if calls > 10 {
		t.Errorf("Receive returned %d times in 2s, want a few", calls)
	}
}
