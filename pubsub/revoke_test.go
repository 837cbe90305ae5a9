package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// seat is a broker whose one subscription hands out what a test gives it, and notes what becomes of it.
type seat struct {
	driver.Broker
	mu       sync.Mutex
	o        driver.SubscribeOptions
	feed     chan []*driver.Delivery
	extra    func() // called as Receive is about to return
	settled  journal
	openFail error
}

func newSeat() *seat {
	return &seat{Broker: &mempubsub.Broker{}, feed: make(chan []*driver.Delivery, 100)}
}

func (b *seat) Subscribe(_ context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.o = o
	return &seatSub{b}, b.openFail
}

func (b *seat) opened() driver.SubscribeOptions {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.o
}

// give hands out deliveries named "KEY ID", and returns them.
func (b *seat) give(names ...string) []*driver.Delivery {
	var ds []*driver.Delivery
	for _, n := range names {
		key, id, _ := strings.Cut(n, " ")
		ds = append(ds, &driver.Delivery{Message: driver.Message{Key: key, Attributes: driver.AttributesOf(map[string]string{"ce-id": id})}})
	}
	b.feed <- ds
	return ds
}

type seatSub struct{ b *seat }

func (s *seatSub) Receive(ctx context.Context, _ int) ([]*driver.Delivery, error) {
	select {
	case ds := <-s.b.feed:
		if s.b.extra != nil {
			s.b.extra()
		}
		return ds, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *seatSub) note(what string, ds []*driver.Delivery) {
	for _, d := range ds {
		s.b.settled.note("%s %s", what, d.Attributes.Get("ce-id"))
	}
}

func (s *seatSub) Ack(_ context.Context, ds []*driver.Delivery) error {
	s.note("ack", ds)
	return nil
}

func (s *seatSub) Release(_ context.Context, ds []*driver.Delivery, delay time.Duration) error {
	s.note(fmt.Sprintf("release %v", delay), ds)
	return nil
}

func (s *seatSub) Extend(context.Context, []*driver.Delivery) error { return nil }
func (s *seatSub) Close(context.Context) error                      { return nil }

func TestSubscriptionTellsTheBrokerWhatItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newSeat()
		b := newBench(t, broker)
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error { return nil },
			&pubsub.SubscriptionOptions{Start: pubsub.Start{Time: at}, OrderAcrossReplicas: true}))
		o := broker.opened()
		if !o.Start.Time.Equal(at) || o.Start.Earliest || !o.Ordered || o.DeadLetter != deadTopic || o.Revoke == nil {
			t.Errorf("opened with %+v, want the start, the order and the dead-letter topic asked for", o)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		stop = run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error { return nil }, nil))
		if o := broker.opened(); o.Start != (driver.Start{}) || o.Ordered || o.DeadLetter != deadTopic {
			t.Errorf("opened with %+v, want the end of the topic and no order by default", o)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOrderThatTheBrokerCannotKeepIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newSeat()
		broker.openFail = resilience.Permanent(fmt.Errorf("standard queue: %w", driver.ErrUnordered))
		b := newBench(t, broker)
		err := b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error { return nil },
			&pubsub.SubscriptionOptions{OrderAcrossReplicas: true}).Run(t.Context())
		if !errors.Is(err, pubsub.ErrUnordered) || !resilience.IsPermanent(err) {
			t.Errorf("Run = %v, want a permanent ErrUnordered at once", err)
		}
	})
}

func TestRevoke(t *testing.T) {
	type env struct {
		*seat
		j    *journal
		stop func() error
	}
	// start runs a subscription whose handlers take 10s, but for those whose ID starts with "bad": they fail at once.
	start := func(t *testing.T, concurrency int) env {
		broker := newSeat()
		j := &journal{}
		stop := run(t, newBench(t, broker).client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			j.note("%s", m.ID)
			if strings.HasPrefix(m.ID, "bad") {
				return errors.New("boom")
			}
			time.Sleep(10 * time.Second)
			if strings.HasPrefix(m.ID, "late") {
				return errors.New("boom")
			}
			return nil
		}, &pubsub.SubscriptionOptions{Concurrency: concurrency, Retry: pubsub.Retry{MinBackoff: time.Hour, MaxBackoff: time.Hour}}))
		return env{broker, j, stop}
	}
	expect := func(t *testing.T, when string, got []string, want ...string) {
		t.Helper()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}

	t.Run("ReleasesWhatDoesNotRunAtOnce", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := start(t, 2)
			bad := e.give("k bad-1", "k behind")
			pass(time.Second)
			ds := e.give(" run-1", " run-2", " ready-1", " ready-2")
			pass(time.Second)
			e.opened().Revoke(append(bad, ds[1], ds[2]))
			synctest.Wait()
			expect(t, "at once", e.settled.all(), "release 0s bad-1", "release 0s behind", "release 0s ready-1")
			pass(time.Minute)
			expect(t, "at the end", e.settled.all(), "release 0s bad-1", "release 0s behind", "release 0s ready-1",
				"ack run-1", "ack run-2", "ack ready-2")
			expect(t, "handled", e.j.all(), "bad-1", "run-1", "run-2", "ready-2")
			if err := e.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("KeepsTheOrderOfAKey", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := start(t, 4)
			ds := e.give("k 1", "k 2", "k 3", "other 4")
			pass(time.Second)
			e.opened().Revoke(ds[1:2]) // which takes along all of its key
			pass(time.Second)
			expect(t, "while 1 runs", e.settled.all())
			pass(time.Minute)
			expect(t, "after 1", e.settled.all(), "ack 1", "ack 4", "release 0s 2", "release 0s 3")
			expect(t, "handled", e.j.all(), "1", "4")
			e.give("k 5")
			pass(time.Minute)
			expect(t, "the key that came back", e.j.all(), "1", "4", "5")
			if err := e.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("ParksNothingThatFailsAfterIt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := start(t, 4)
			ds := e.give("k late-1", "k 2")
			pass(time.Second)
			e.opened().Revoke(ds)
			pass(time.Minute)
			expect(t, "after the failure", e.settled.all(), "release 0s late-1", "release 0s 2")
			if err := e.stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("ReachesWhatIsOnItsWay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := start(t, 1)
			var ds []*driver.Delivery
			e.extra = func() {
				e.opened().Revoke(ds)
				time.Sleep(time.Second) // the loop hears of it before it has the deliveries
			}
			ds = []*driver.Delivery{
				{Message: driver.Message{Key: "k", Attributes: driver.AttributesOf(map[string]string{"ce-id": "1"})}},
				{Message: driver.Message{Key: "k", Attributes: driver.AttributesOf(map[string]string{"ce-id": "2"})}},
			}
			e.feed <- ds
			pass(time.Minute)
			expect(t, "settled", e.settled.all(), "release 0s 1", "release 0s 2")
			expect(t, "handled", e.j.all())
			if err := e.stop(); err != nil {
				t.Error(err)
			}
		})
	})
}
