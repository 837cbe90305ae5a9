package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestRetryHoldsUpItsKeyAlone(t *testing.T) {
	for _, outcome := range []string{"Success", "DeadLetter"} {
		t.Run(outcome, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				j := &journal{}
				began := time.Now()
				defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
					if m.ID == "a1" && (m.Attempt < 3 || outcome == "DeadLetter") {
						j.note("%s fails at %v", m.ID, time.Since(began))
						return errors.New("boom")
					}
					j.note("%s at %v", m.ID, time.Since(began))
					return nil
				}, &pubsub.SubscriptionOptions{Concurrency: 8, Retry: pubsub.Retry{
					MaxAttempts: 3, MinBackoff: 300 * time.Millisecond, MaxBackoff: 300 * time.Millisecond,
				}}))()
				for _, id := range []string{"a1", "a2", "a3", "b1", "b2", "b3"} {
					b.publish("orders", &pubsub.Message{ID: id, Key: id[:1]})
				}
				pass(time.Hour)
				got := j.all()
				early := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return strings.HasPrefix(s, "a") })
				if want := []string{"b1 at 0s", "b2 at 0s", "b3 at 0s"}; !slices.Equal(early, want) {
					t.Errorf("key b: %v, want %v, before a1's first retry", early, want)
				}
				a := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return strings.HasPrefix(s, "b") })
				want := []string{"a1 fails at 0s", "a1 fails at 300ms", "a1 at 600ms", "a2 at 600ms", "a3 at 600ms"}
				if outcome == "DeadLetter" {
					want[2] = "a1 fails at 600ms"
				}
				if !slices.Equal(a, want) {
					t.Errorf("key a: %v, want %v", a, want)
				}
			})
		})
	}
}

func TestWaitingMessagesHoldNoWorker(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		j := &journal{}
		defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			if strings.HasPrefix(m.ID, "bad") {
				return errors.New("boom")
			}
			j.note("%s", m.ID)
			return nil
		}, &pubsub.SubscriptionOptions{Concurrency: 1, Retry: pubsub.Retry{MinBackoff: time.Hour, MaxBackoff: time.Hour}}))()
		for i := range 50 {
			b.publish("orders", &pubsub.Message{ID: fmt.Sprintf("bad-%d", i)})
		}
		b.publish("orders", &pubsub.Message{ID: "good"})
		pass(time.Second)
		if got := j.all(); len(got) != 1 {
			t.Errorf("handled %v within a second, want the good message behind 50 that wait", got)
		}
	})
}

// TestOrder throws random failures, durations, panics, duplicates and lost acknowledgements at many keys and holds the
// two promises: no two of a key at once, and no message succeeds before one that was published before it.
func TestOrder(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The copy of a message that was dead-lettered may succeed, late; so duplicates come where none is.
				faults, attempts := pubsubtest.FaultOptions{Seed: seed, FailReceiveRatio: 0.1}, 3
				if seed%2 == 0 {
					faults.DuplicateRatio, attempts = 0.1, -1
				}
				b := newBench(t, pubsubtest.NewFaulty(&mempubsub.Broker{}, faults))
				check := &orderCheck{t: t, permanent: attempts > 0, rand: rand.New(rand.NewPCG(seed, 1)), busy: map[string]string{}, last: map[string]string{}, done: map[string]bool{}}
				sub := b.client.Subscribe("orders", "stock", check.handle, &pubsub.SubscriptionOptions{
					Concurrency: 4, MaxInFlight: 40, Lease: time.Second, Retry: pubsub.Retry{MaxAttempts: attempts, MinBackoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond},
				})
				stop := run(t, sub)
				const keys, perKey = 7, 30
				for i := range perKey {
					for k := range keys {
						b.publish("orders", &pubsub.Message{ID: fmt.Sprintf("%d-%02d", k, i), Key: fmt.Sprint(k)})
					}
					time.Sleep(time.Millisecond)
				}
				pass(time.Hour)
				if err := stop(); err != nil {
					t.Errorf("Run = %v", err)
				}
				letters := b.metric("mainstay_pubsub_dead_letters_total")
				if len(check.done)+int(letters) < keys*perKey {
					t.Errorf("%d messages succeeded and %v were dead-lettered, want %d in all", len(check.done), letters, keys*perKey)
				}
			})
		})
	}
}

// orderCheck is a handler that does all sorts of things.
type orderCheck struct {
	t         *testing.T
	permanent bool // some failures are
	mu        sync.Mutex
	rand      *rand.Rand
	busy      map[string]string // key to the message that runs
	last      map[string]string // key to the last message that succeeded
	done      map[string]bool   // messages that succeeded
}

func (c *orderCheck) begin(m *pubsub.Message) (outcome int, takes time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.busy[m.Key]; other != "" {
		c.t.Errorf("%s runs beside %s of its key", m.ID, other)
	}
	c.busy[m.Key] = m.ID
	return c.rand.IntN(10), time.Duration(c.rand.IntN(5_000)) * time.Microsecond
}

func (c *orderCheck) end(m *pubsub.Message, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[m.Key] = ""
	if !ok || c.done[m.ID] {
		return
	}
	c.done[m.ID] = true
	// IDs of one key sort as they were published.
	if last := c.last[m.Key]; last > m.ID {
		c.t.Errorf("%s succeeds after %s", m.ID, last)
	}
	c.last[m.Key] = m.ID
}

func (c *orderCheck) handle(ctx context.Context, m *pubsub.Message) error {
	outcome, takes := c.begin(m)
	ok := false
	defer func() { c.end(m, ok) }()
	time.Sleep(takes)
	switch {
	case outcome == 0 && c.permanent:
		return resilience.Permanent(errors.New("never"))
	case outcome == 1:
		panic("sometimes")
	case outcome < 5:
		return errors.New("perhaps")
	}
	ok = true
	return nil
}

func TestConcurrency(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		var mu sync.Mutex
		running, most := 0, 0
		defer run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			running--
			return nil
		}, &pubsub.SubscriptionOptions{Concurrency: 3}))()
		for range 30 {
			b.publish("orders", &pubsub.Message{})
		}
		pass(10*time.Second + time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if most != 3 || running != 0 {
			t.Errorf("at most %d ran at once and %d still run after 10s, want 3 and 0", most, running)
		}
	})
}

// inFlight counts what a broker has handed out.
type inFlight struct {
	driver.Broker
	mu        sync.Mutex
	now, most int
}

func (b *inFlight) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	sub, err := b.Broker.Subscribe(ctx, o)
	return &inFlightSub{sub, b}, err
}

func (b *inFlight) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now += n
	b.most = max(b.most, b.now)
}

type inFlightSub struct {
	driver.Subscription
	b *inFlight
}

func (s *inFlightSub) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	ds, err := s.Subscription.Receive(ctx, n)
	s.b.add(len(ds))
	return ds, err
}

func (s *inFlightSub) Ack(ctx context.Context, ds []*driver.Delivery) error {
	s.b.add(-len(ds))
	return s.Subscription.Ack(ctx, ds)
}

func TestInFlight(t *testing.T) {
	t.Run("IsAtMostMaxInFlight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker := &inFlight{Broker: &mempubsub.Broker{}}
			b := newBench(t, broker)
			j := &journal{}
			defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
				time.Sleep(time.Second)
				j.note("%s", m.ID)
				return nil
			}, &pubsub.SubscriptionOptions{Concurrency: 2, MaxInFlight: 10}))()
			for i := range 40 {
				b.publish("orders", &pubsub.Message{ID: fmt.Sprint(i), Key: "one busy key"})
			}
			pass(time.Hour)
			if len(j.all()) != 40 || broker.most != 10 {
				t.Errorf("%d handled, at most %d in flight, want 40 and 10", len(j.all()), broker.most)
			}
		})
	})
	t.Run("LeavesTheRestToOthers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker := &inFlight{Broker: &mempubsub.Broker{}}
			b := newBench(t, broker)
			defer run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
				time.Sleep(time.Second)
				return nil
			}, &pubsub.SubscriptionOptions{Concurrency: 2}))()
			for range 100 {
				b.publish("orders", &pubsub.Message{})
			}
			synctest.Wait()
			if broker.most > 4 {
				t.Errorf("%d received by 2 slow handlers, want at most 4", broker.most)
			}
		})
	})
}

func TestBusyKeyLeavesRoomForOthers(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		j := &journal{}
		defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			if m.Key == "bad" {
				return errors.New("boom")
			}
			j.note("%s", m.ID)
			return nil
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MinBackoff: time.Hour, MaxBackoff: time.Hour}}))()
		for range 500 {
			b.publish("orders", &pubsub.Message{Key: "bad"})
		}
		b.publish("orders", &pubsub.Message{ID: "good", Key: "good"})
		pass(time.Second)
		if got := j.all(); len(got) != 1 {
			t.Errorf("handled %v within a second, want the one behind 500 of a key that waits", got)
		}
	})
}
