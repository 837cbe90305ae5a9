package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

// replica is one process's subscription that asks for order.
type replica struct {
	driver.Subscription
	mu      sync.Mutex
	revoked []string
}

func openReplica(t *testing.T, n *natsServer, lease time.Duration) *replica {
	t.Helper()
	r := &replica{}
	b := natspubsub.New(jetStream(t, connect(t, n.s.ClientURL())), nil)
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "orders", Name: "stock", Lease: lease, MaxInFlight: 100, Ordered: true,
		Revoke: func(ds []*driver.Delivery) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, d := range ds {
				r.revoked = append(r.revoked, string(d.Data))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Subscription = s
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return r
}

// hold returns the next n deliveries, unsettled.
func (r *replica) hold(t *testing.T, n int) (data []string, ds []*driver.Delivery) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(ds) < n {
		more, err := r.Receive(ctx, n-len(ds))
		if err != nil {
			t.Fatalf("Receive after %v: %v", data, err)
		}
		for _, d := range more {
			data = append(data, string(d.Data))
		}
		ds = append(ds, more...)
	}
	return data, ds
}

// receivesNothing fails when the replica is given anything within d.
func (r *replica) receivesNothing(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if ds, err := r.Receive(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second replica received %v, %v, want nothing", ds, err)
	}
}

func TestKeysKeepTheirOrderWhileReplicasComeAndGo(t *testing.T) {
	n := startServer(t)
	const keys, each = 10, 40
	var mu sync.Mutex
	done := make(map[string][]int) // by key
	handle := func(_ context.Context, m *pubsub.Message) error {
		<-time.After(time.Millisecond)
		i, err := strconv.Atoi(string(m.Data))
		mu.Lock()
		defer mu.Unlock()
		done[m.Key] = append(done[m.Key], i)
		return err
	}
	replica := func() (stop func()) {
		client := newClient(natspubsub.New(jetStream(t, connect(t, n.s.ClientURL())), nil))
		return run(t, client.Subscribe("orders", "stock", handle, &pubsub.SubscriptionOptions{
			Concurrency: 8, OrderAcrossReplicas: true,
		}))
	}
	stops := []func(){replica(), replica()}
	client := newClient(natspubsub.New(jetStream(t, n.conn), nil))
	for i := range each {
		for k := range keys {
			m := &pubsub.Message{Key: fmt.Sprint(k), Data: []byte(strconv.Itoa(i))}
			if err := client.Publish(t.Context(), "orders", m); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 9 { // a rolling deploy
			stops = append(stops, replica())
			stops[0]()
			stops = stops[1:]
		}
	}
	until(t, "all is handled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		total := 0
		for _, is := range done {
			total += len(is)
		}
		return total >= keys*each
	})
	for _, stop := range stops {
		stop()
	}
	for k, is := range done {
		// A lost acknowledgement may bring one back; what is new is in order.
		for want, i := 0, 0; i < len(is); i++ {
			if is[i] > want {
				t.Fatalf("key %s: %d was handled before %d: %v", k, is[i], want, is)
			}
			want = max(want, is[i]+1)
		}
	}
}

func TestOrderAcrossReplicas(t *testing.T) {
	t.Run("OneReceivesAndAnotherTakesOverWhenItCloses", func(t *testing.T) {
		n := startServer(t)
		one, two := openReplica(t, n, time.Hour), openReplica(t, n, time.Hour)
		b := natspubsub.New(jetStream(t, n.conn), nil)
		send(t, b, "orders", "1", "2", "3")
		_, ds := one.hold(t, 2)
		two.receivesNothing(t, 500*time.Millisecond)
		if err := one.Ack(t.Context(), ds[:1]); err != nil {
			t.Fatal(err)
		}
		if err := one.Release(t.Context(), ds[1:], 0); err != nil {
			t.Fatal(err)
		}
		two.receivesNothing(t, 200*time.Millisecond) // not before the first has ended
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, _ := two.hold(t, 2); !slices.Equal(got, []string{"2", "3"}) {
			t.Errorf("the second received %v, want 2 and 3", got)
		}
	})
	t.Run("WhatADeadOneHeldGoesFirst", func(t *testing.T) {
		n := startServer(t)
		const lease = time.Second
		conn := connect(t, n.s.ClientURL())
		s, err := natspubsub.New(jetStream(t, conn), nil).Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders", Name: "stock", Lease: lease, MaxInFlight: 100, Ordered: true,
			Revoke: func([]*driver.Delivery) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close(context.Background()) })
		one, two := &replica{Subscription: s}, openReplica(t, n, lease)
		b := natspubsub.New(jetStream(t, n.conn), nil)
		want := []string{"1", "2", "3", "4", "5", "6", "7"}
		send(t, b, "orders", want...)
		one.hold(t, 5)
		conn.Close()
		if got, _ := two.hold(t, len(want)); !slices.Equal(got, want) {
			t.Errorf("the second received %v, want %v", got, want)
		}
	})
	t.Run("OneThatIsBusyStays", func(t *testing.T) {
		n := startServer(t)
		const lease = 500 * time.Millisecond
		one, two := openReplica(t, n, lease), openReplica(t, n, lease)
		b := natspubsub.New(jetStream(t, n.conn), nil)
		send(t, b, "orders", "1", "2")
		_, ds := one.hold(t, 1) // and asks for no more, as one whose workers are all taken
		ctx, cancel := context.WithCancel(t.Context())
		var extending sync.WaitGroup
		extending.Go(func() {
			for ctx.Err() == nil {
				if err := one.Extend(ctx, ds); err != nil && ctx.Err() == nil {
					t.Errorf("Extend: %v", err)
				}
				<-time.After(lease / 4)
			}
		})
		two.receivesNothing(t, 8*lease)
		cancel()
		extending.Wait()
		if err := one.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
		if got, _ := one.hold(t, 1); got[0] != "2" {
			t.Errorf("the first received %v, want 2", got)
		}
	})
	t.Run("OneThatIsReplacedLetsGo", func(t *testing.T) {
		n := startServer(t)
		one := openReplica(t, n, 4*time.Second)
		b := natspubsub.New(jetStream(t, n.conn), nil)
		send(t, b, "orders", "1", "2")
		_, ds := one.hold(t, 2)
		if err := one.Ack(t.Context(), ds[:1]); err != nil {
			t.Fatal(err)
		}
		s, err := jetStream(t, n.conn).Stream(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		two := openReplica(t, n, 4*time.Second)
		taken := make(chan []string, 1)
		go func() {
			got, _ := tryReceive(t.Context(), two, 1)
			taken <- got
		}()
		if err := s.UnpinConsumer(t.Context(), "stock-orders", "mainstay"); err != nil {
			t.Fatal(err)
		}
		send(t, b, "orders", "3") // the second is pinned with what it is given
		until(t, "the first is told", func() bool {
			one.mu.Lock()
			defer one.mu.Unlock()
			return len(one.revoked) > 0
		})
		one.mu.Lock()
		defer one.mu.Unlock()
		if !slices.Equal(one.revoked, []string{"2"}) {
			t.Errorf("revoked %v, want what was not acknowledged, 2", one.revoked)
		}
		<-taken
	})
	t.Run("ManyStandByAndNothingWaits", func(t *testing.T) {
		n := startServer(t)
		one := openReplica(t, n, time.Minute)
		b := natspubsub.New(jetStream(t, n.conn), nil)
		send(t, b, "orders", "first")
		_, ds := one.hold(t, 1)
		if err := one.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var standby sync.WaitGroup
		for range 3 {
			r := openReplica(t, n, time.Minute)
			standby.Go(func() {
				for ctx.Err() == nil {
					if ds, err := r.Receive(ctx, 10); err == nil {
						t.Errorf("one that stands by received %v", ds)
					}
				}
			})
		}
		for i := range 10 {
			id := fmt.Sprint(i)
			send(t, b, "orders", id)
			got, ds := one.hold(t, 1)
			if got[0] != id {
				t.Errorf("received %v, want %s", got, id)
			}
			if err := one.Ack(t.Context(), ds); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		standby.Wait()
	})
}
