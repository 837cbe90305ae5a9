package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

func TestNothingIsLostWhenReceiveIsCutShort(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	s := open(t, b, "orders", "stock", time.Hour)
	const total = 500
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range total {
			id := fmt.Sprint(i)
			if err := b.Publish(t.Context(), "orders", []driver.Message{{ID: id, Data: []byte(id)}}); err != nil {
				t.Errorf("Publish(%s): %v", id, err)
			}
		}
	}()
	late := time.Now().Add(2 * patience)
	seen := map[string]bool{}
	for i := 0; len(seen) < total && time.Now().Before(late); i++ {
		// Too short for anything, and longer, up to 12.8 ms: at some of them this machine is in the middle of it.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond<<(i%8))
		ds, err := s.Receive(ctx, 7)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		for _, d := range ds {
			// The server may count a delivery to an inbox that was just given up; it gives the message out again at
			// once.
			if seen[string(d.Data)] {
				t.Errorf("%s came twice", d.Data)
			}
			seen[string(d.Data)] = true
		}
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
	<-published
	if len(seen) != total {
		t.Errorf("received %d, want %d: what Receive leaves behind must not wait for the end of its lease", len(seen), total)
	}
}

func TestWhatArrivesSoonIsHandedOutAtOnce(t *testing.T) {
	b := natspubsub.New(jetStream(t, startServer(t).conn), nil)
	s := open(t, b, "soon", "s", time.Minute)
	const rounds = 20
	fastest := time.Hour
	for i := range rounds {
		begin := time.Now()
		send(t, b, "soon", fmt.Sprint(i))
		ds, err := s.Receive(t.Context(), 10) // more than there are
		if err != nil || len(ds) != 1 {
			t.Fatalf("Receive = %d messages, %v, want 1, nil", len(ds), err)
		}
		fastest = min(fastest, time.Since(begin))
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
	// Each would take the 100 ms that an idle subscription pauses for. The fastest tells, whatever else runs here.
	if fastest > 90*time.Millisecond {
		t.Errorf("the fastest of %d messages, one at a time, took %v, want no pause", rounds, fastest)
	}
}

func TestStoppingSubscriptionTakesNothingFromOthers(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	stopping, other := open(t, b, "orders", "stock", time.Hour), open(t, b, "orders", "stock", time.Hour)
	for i := range 5 {
		// It waits, is told to end, and stays open for its handlers.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if ds, err := stopping.Receive(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive = %v, %v, want its context's error", ds, err)
		}
		cancel()
		id := fmt.Sprint(i)
		send(t, b, "orders", id)
		if got := receive(t, other, 1); got[0] != id {
			t.Errorf("the other received %v, want %s", got, id)
		}
	}
}

func TestIdleSubscriptionsAskSeldom(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	var asked atomic.Int32
	watch, err := n.conn.Subscribe("$JS.API.CONSUMER.MSG.NEXT.>", func(*nats.Msg) { asked.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Unsubscribe()
	subs := []driver.Subscription{open(t, b, "orders", "stock", time.Minute), open(t, b, "orders", "stock", time.Minute)}
	// A consumer that is paused has messages and gives none.
	if _, err := js.PauseConsumer(t.Context(), "orders", "stock-orders", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	send(t, b, "orders", "1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range subs {
		wg.Go(func() {
			if ds, err := s.Receive(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Receive = %v, %v, want its context's error", ds, err)
			}
		})
	}
	wg.Wait()
	if got := asked.Load(); got < 1 || got > 25 {
		t.Errorf("%d requests in a second of two idle subscriptions, want a few", got)
	}
}
