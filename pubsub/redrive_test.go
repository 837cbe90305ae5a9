package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

const deadOrders = "orders.dead-letter.billing"

// graveyard is a broker on which the subscription "billing" of "orders" let ids die.
func graveyard(t *testing.T, ids ...string) (*mempubsub.Broker, *bench) {
	broker := &mempubsub.Broker{}
	b := newBench(t, broker)
	stop := b.failing()
	for _, id := range ids {
		b.publish("orders", &pubsub.Message{ID: id, Key: "k", Data: []byte("body " + id)})
	}
	synctest.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return broker, b
}

// failing runs the subscription with a handler that no message survives.
func (b *bench) failing() (stop func() error) {
	return run(b.t, b.client.Subscribe("orders", "billing", func(context.Context, *pubsub.Message) error {
		return resilience.Permanent(errors.New("boom"))
	}, nil))
}

// letters peeks at what is dead.
func (b *bench) letters() []string {
	b.t.Helper()
	ms, err := pubsub.Peek(b.t.Context(), b.client, deadOrders, 10_000)
	if err != nil {
		b.t.Fatal(err)
	}
	var ids []string
	for _, m := range ms {
		ids = append(ids, m.ID)
	}
	return ids
}

// redrive runs with o and checks what it counted.
func (b *bench) redrive(o *pubsub.RedriveOptions, want pubsub.RedriveResult) {
	b.t.Helper()
	got, err := pubsub.Redrive(b.t.Context(), b.client, deadOrders, o)
	if err != nil || *got != want {
		b.t.Errorf("Redrive = %+v, %v, want %+v", *got, err, want)
	}
}

// handled returns what the subscription gets of what is there, and lets it succeed.
func (b *bench) handled() []*pubsub.Message {
	b.t.Helper()
	var got []*pubsub.Message
	stop := run(b.t, b.client.Subscribe("orders", "billing", func(_ context.Context, m *pubsub.Message) error {
		got = append(got, m)
		return nil
	}, &pubsub.SubscriptionOptions{Concurrency: 1}))
	synctest.Wait()
	if err := stop(); err != nil {
		b.t.Fatal(err)
	}
	return got
}

func idsOf(ms []*pubsub.Message) []string {
	var ids []string
	for _, m := range ms {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestRedrive(t *testing.T) {
	t.Run("GivesItsSubscriptionAloneTheMessageAsItWas", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, b := graveyard(t, "1", "2", "3")
			siblings, stop := b.collect("orders")
			b.redrive(nil, pubsub.RedriveResult{Seen: 3, Redriven: 3})
			got := b.handled()
			if !slices.Equal(idsOf(got), []string{"1", "2", "3"}) {
				t.Fatalf("the subscription handled %v, want 1 to 3 in the order of their deaths", idsOf(got))
			}
			m := got[0]
			if string(m.Data) != "body 1" || m.Key != "k" || m.Attempt != 1 || m.DeadLetter != nil || m.Topic != "orders" {
				t.Errorf("handled %+v, want the message as it was published, at attempt 1", m)
			}
			if got := b.letters(); len(got) != 0 {
				t.Errorf("letters %v are left, want none", got)
			}
			if got := siblings(); len(got) != 0 {
				t.Errorf("another subscription got %v", idsOf(got))
			}
			if got := b.metric("mainstay_pubsub_redriven_total", "topic", "orders", "subscription", "billing"); got != 3 {
				t.Errorf("%v are counted, want 3", got)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("DryRunChangesNothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, b := graveyard(t, "1", "2", "3")
			began := time.Now()
			b.redrive(&pubsub.RedriveOptions{DryRun: true, Rate: 0.001, Max: 2}, pubsub.RedriveResult{Seen: 2, Redriven: 2})
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v, want no pace", took)
			}
			if got := b.letters(); !slices.Equal(got, []string{"1", "2", "3"}) {
				t.Errorf("letters %v are left, want all", got)
			}
			if got := b.handled(); len(got) != 0 {
				t.Errorf("handled %v, want nothing", idsOf(got))
			}
		})
	})
	t.Run("PicksByFilterUpToMax", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, b := graveyard(t, "1", "2", "3", "4")
			even := func(m *pubsub.Message) bool {
				return m.DeadLetter.Error == "boom" && (m.ID == "2" || m.ID == "4")
			}
			b.redrive(&pubsub.RedriveOptions{Filter: even, Max: 1}, pubsub.RedriveResult{Seen: 2, Redriven: 1, Filtered: 1})
			b.redrive(&pubsub.RedriveOptions{Filter: even}, pubsub.RedriveResult{Seen: 3, Redriven: 1, Filtered: 2})
			if got := b.letters(); !slices.Equal(got, []string{"1", "3"}) {
				t.Errorf("letters %v are left, want 1 and 3", got)
			}
		})
	})
	t.Run("KeepsItsPace", func(t *testing.T) {
		for _, test := range []struct {
			rate float64
			want time.Duration
		}{{0, 40 * time.Millisecond}, {0.5, 8 * time.Second}, {-1, 0}} {
			synctest.Test(t, func(t *testing.T) {
				_, b := graveyard(t, "1", "2", "3", "4", "5")
				began := time.Now()
				b.redrive(&pubsub.RedriveOptions{Rate: test.rate}, pubsub.RedriveResult{Seen: 5, Redriven: 5})
				if took := time.Since(began).Truncate(time.Millisecond); took != test.want {
					t.Errorf("five letters at rate %v took %v, want %v", test.rate, took, test.want)
				}
			})
		}
	})
	t.Run("GoesThroughManyPages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var ids []string
			for i := range 250 {
				ids = append(ids, fmt.Sprintf("%03d", i))
			}
			_, b := graveyard(t, ids...)
			b.redrive(&pubsub.RedriveOptions{Rate: -1}, pubsub.RedriveResult{Seen: 250, Redriven: 250})
			if got := idsOf(b.handled()); !slices.Equal(got, ids) {
				t.Errorf("handled %v, want all in order", got)
			}
		})
	})
}

func TestRedriveLoopGuard(t *testing.T) {
	t.Run("WhatDiesInTheRunStays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, b := graveyard(t, "1")
			stop := b.failing()
			b.publish("orders", &pubsub.Message{ID: "2"})
			synctest.Wait()
			// The second letter's pace gives the first the time to die again, behind it; the second itself may, too.
			got, err := pubsub.Redrive(t.Context(), b.client, deadOrders, &pubsub.RedriveOptions{Rate: 1})
			if want := (pubsub.RedriveResult{Seen: 2 + got.Again, Redriven: 2, Again: max(got.Again, 1)}); err != nil || *got != want {
				t.Errorf("Redrive = %+v, %v, want %+v", *got, err, want)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("WhatDiedTooOftenStays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, b := graveyard(t, "1")
			for range 3 {
				b.redrive(nil, pubsub.RedriveResult{Seen: 1, Redriven: 1})
				stop := b.failing()
				synctest.Wait()
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			}
			b.redrive(nil, pubsub.RedriveResult{Seen: 1, Deaths: 1})
			b.redrive(&pubsub.RedriveOptions{MaxDeaths: 2}, pubsub.RedriveResult{Seen: 1, Deaths: 1})
			b.redrive(&pubsub.RedriveOptions{MaxDeaths: -1}, pubsub.RedriveResult{Seen: 1, Redriven: 1})
		})
	})
}

func TestRedriveLeavesWhatItCannotTrust(t *testing.T) {
	letter := func(id string, attrs ...string) driver.Message {
		m := driver.Message{ID: id, Attributes: driver.AttributesOf(map[string]string{"ce-id": id})}
		for i := 0; i < len(attrs); i += 2 {
			m.Attributes.Set("mainstay-dead-letter-"+attrs[i], attrs[i+1])
		}
		return m
	}
	letters := []driver.Message{
		letter("none"),
		letter("topic alone", "topic", "orders"),
		letter("forged", "topic", "payments", "subscription", "charge"),
		letter("no name", "topic", "orders", "subscription", "a..b"),
		letter("no text", "topic", "orders\n", "subscription", "billing"),
		letter("good", "topic", "orders", "subscription", "billing", "attempts", "many", "time", "now"),
		letter("shared", "topic", "orders", "subscription", "shipping"),
	}
	letters[5].Attributes.Set("mainstay-deaths", "-9223372036854775808")
	for _, test := range []struct {
		name    string
		origins []pubsub.Origin
		want    pubsub.RedriveResult
	}{
		{"by default the topic's own subscription", nil, pubsub.RedriveResult{Seen: 7, Redriven: 1, Foreign: 6}},
		{"none where none is allowed", []pubsub.Origin{}, pubsub.RedriveResult{Seen: 7, Foreign: 7}},
		{
			"those that are listed",
			[]pubsub.Origin{{Topic: "orders", Subscription: "billing"}, {Topic: "orders", Subscription: "shipping"}},
			pubsub.RedriveResult{Seen: 7, Redriven: 2, Foreign: 5},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker, b := graveyard(t)
				for _, s := range []struct{ topic, name string }{{"orders", "shipping"}, {"payments", "charge"}} {
					if _, err := broker.Subscribe(t.Context(), driver.SubscribeOptions{
						Topic: s.topic, Name: s.name, Lease: time.Minute, MaxInFlight: 1,
					}); err != nil {
						t.Fatal(err)
					}
				}
				if err := broker.Publish(t.Context(), deadOrders, letters); err != nil {
					t.Fatal(err)
				}
				b.redrive(&pubsub.RedriveOptions{Origins: test.origins}, test.want)
			})
		})
	}
}

func TestRedriveTakesDeathAwayAndCountsIt(t *testing.T) {
	for _, deaths := range []string{"", "-9223372036854775808", "9223372036854775807", "many", "2"} {
		synctest.Test(t, func(t *testing.T) {
			broker, b := graveyard(t)
			attrs := map[string]string{
				"ce-id": "1", "mainstay-deaths": deaths, "user": "u", "mainstay-attempts": "7",
				"mainstay-not-before": "2126-01-01T00:00:00Z", "mainstay-first-failure": "2026-01-01T00:00:00Z",
			}
			for k, v := range map[string]string{
				"topic": "orders", "subscription": "billing", "reason": "permanent", "error": "boom", "attempts": "7",
				"time": "2026-01-01T00:00:00Z", "position": "orders/1",
			} {
				attrs["mainstay-dead-letter-"+k] = v
			}
			if err := broker.Publish(t.Context(), deadOrders, []driver.Message{{ID: "1@1", Attributes: driver.AttributesOf(attrs)}}); err != nil {
				t.Fatal(err)
			}
			b.redrive(nil, pubsub.RedriveResult{Seen: 1, Redriven: 1})
			s, err := broker.Subscribe(t.Context(), driver.SubscribeOptions{
				Topic: "orders", Name: "billing", Lease: time.Minute, MaxInFlight: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			ds, err := s.Receive(t.Context(), 1)
			want := map[string]string{"ce-id": "1", "user": "u", "mainstay-deaths": "1"}
			if deaths == "2" {
				want["mainstay-deaths"] = "3"
			}
			if err != nil || !maps.Equal(ds[0].Attributes.Map(), want) || ds[0].ID != "1" {
				t.Errorf("deaths %q: received %q with %v, %v, want 1 with %v", deaths, ds[0].ID, ds[0].Attributes, err, want)
			}
		})
	}
}

// undertaker is a broker in whose way something can be put.
type undertaker struct {
	*mempubsub.Broker
	redeliver func(id string) error // before the message is stored
	remove    func(id string) error
	browse    func(cursor string) (string, error)
}

func (u *undertaker) Redeliver(ctx context.Context, topic, name string, ms []driver.Message, d time.Duration) error {
	if u.redeliver != nil {
		if err := u.redeliver(ms[0].ID); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return u.Broker.Redeliver(ctx, topic, name, ms, d)
}

func (u *undertaker) Remove(ctx context.Context, topic string, ds []*driver.Delivery) error {
	if u.remove != nil {
		if err := u.remove(ds[0].Attributes.Get("ce-id")); err != nil {
			return err
		}
	}
	return u.Broker.Remove(ctx, topic, ds)
}

func (u *undertaker) Browse(ctx context.Context, topic, cursor string, n int) ([]*driver.Delivery, string, error) {
	ds, next, err := u.Broker.Browse(ctx, topic, cursor, n)
	if u.browse != nil {
		next, err = u.browse(cursor)
	}
	return ds, next, err
}

func TestRedriveGoesOn(t *testing.T) {
	away := errors.New("away")
	t.Run("AfterAFailureWithNothingTwice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker, b := graveyard(t, "1", "2", "3")
			client := newBench(t, &undertaker{Broker: broker, redeliver: func(id string) error {
				if id == "2" {
					return away
				}
				return nil
			}}).client
			got, err := pubsub.Redrive(t.Context(), client, deadOrders, nil)
			if !errors.Is(err, away) || *got != (pubsub.RedriveResult{Seen: 2, Redriven: 1}) {
				t.Errorf("Redrive = %+v, %v, want one put back and the broker's error", got, err)
			}
			b.redrive(nil, pubsub.RedriveResult{Seen: 2, Redriven: 2})
			if got := idsOf(b.handled()); !slices.Equal(got, []string{"1", "2", "3"}) {
				t.Errorf("handled %v, want each once", got)
			}
		})
	})
	t.Run("AfterALetterThatCouldNotBeRemovedWithThatTwice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker, b := graveyard(t, "1", "2")
			client := newBench(t, &undertaker{Broker: broker, remove: func(string) error { return away }}).client
			got, err := pubsub.Redrive(t.Context(), client, deadOrders, nil)
			if !errors.Is(err, away) || *got != (pubsub.RedriveResult{Seen: 1}) {
				t.Errorf("Redrive = %+v, %v, want nothing counted and the broker's error", got, err)
			}
			b.redrive(nil, pubsub.RedriveResult{Seen: 2, Redriven: 2})
			if got := idsOf(b.handled()); !slices.Equal(got, []string{"1", "1", "2"}) {
				t.Errorf("handled %v, want the first twice", got)
			}
		})
	})
	t.Run("AfterItsContextEndedWithNothingTwice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker, b := graveyard(t, "1", "2", "3")
			ctx, cancel := context.WithCancel(t.Context())
			client := newBench(t, &undertaker{Broker: broker, redeliver: func(id string) error {
				if id == "2" {
					cancel()
				}
				return nil
			}}).client
			got, err := pubsub.Redrive(ctx, client, deadOrders, nil)
			if !errors.Is(err, context.Canceled) || *got != (pubsub.RedriveResult{Seen: 3, Redriven: 2}) {
				t.Errorf("Redrive = %+v, %v, want the letter in hand finished, and the context's error", got, err)
			}
			b.redrive(nil, pubsub.RedriveResult{Seen: 1, Redriven: 1})
			if got := idsOf(b.handled()); !slices.Equal(got, []string{"1", "2", "3"}) {
				t.Errorf("handled %v, want each once", got)
			}
		})
	})
	t.Run("OnlyWhereTheCursorDoes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker, _ := graveyard(t, "1")
			stuck := func(cursor string) (string, error) { return cursor, nil }
			client := newBench(t, &undertaker{Broker: broker, browse: stuck}).client
			_, err := pubsub.Peek(t.Context(), client, deadOrders, 5)
			if err == nil || !strings.Contains(err.Error(), "cursor") {
				t.Errorf("Peek = %v, want an error about the cursor", err)
			}
		})
	})
}

func TestRedriveNamesWhatIsWrong(t *testing.T) {
	full := newBench(t, &mempubsub.Broker{}).client
	bare := newBench(t, struct{ driver.Broker }{&mempubsub.Broker{}}).client
	browser := newBench(t, struct {
		driver.Broker
		driver.Browser
	}{&mempubsub.Broker{}, &mempubsub.Broker{}}).client
	nan := 0.0
	nan /= nan
	for name, test := range map[string]struct {
		client *pubsub.Client
		topic  string
		o      *pubsub.RedriveOptions
		lacks  bool
		want   string
	}{
		"no browser":     {bare, "t", nil, true, `pubsub: redrive "t": the broker cannot look at a topic`},
		"no redeliverer": {browser, "t", nil, true, `pubsub: redrive "t": the broker cannot redeliver to one subscription`},
		"topic":          {full, "a..b", nil, false, `must be 1 to 249`},
		"rate":           {full, "t", &pubsub.RedriveOptions{Rate: nan}, false, `Rate must be a number`},
		"origin": {
			full, "t", &pubsub.RedriveOptions{Origins: []pubsub.Origin{{Topic: "t"}}}, false, `Origins: subscription`,
		},
	} {
		got, err := pubsub.Redrive(t.Context(), test.client, test.topic, test.o)
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, errors.ErrUnsupported) != test.lacks {
			t.Errorf("%s: Redrive = %v, want an error with %q (unsupported: %v)", name, err, test.want, test.lacks)
		}
		if got == nil || *got != (pubsub.RedriveResult{}) {
			t.Errorf("%s: the result is %+v, want an empty one", name, got)
		}
	}
	if _, err := pubsub.Peek(t.Context(), bare, "t", 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Peek = %v, want ErrUnsupported", err)
	}
	if _, err := pubsub.Peek(t.Context(), full, "t", 0); !resilience.IsPermanent(err) {
		t.Errorf("Peek of 0 = %v, want a permanent error", err)
	}
}

func TestPeekLeavesLettersWhereTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := graveyard(t, "1", "2", "3")
		for range 2 {
			ms, err := pubsub.Peek(t.Context(), b.client, deadOrders, 2)
			if err != nil || !slices.Equal(idsOf(ms), []string{"1", "2"}) {
				t.Fatalf("Peek = %v, %v, want 1 and 2 each time", idsOf(ms), err)
			}
			l := ms[0].DeadLetter
			if l == nil || l.Topic != "orders" || l.Subscription != "billing" || l.Error != "boom" {
				t.Errorf("DeadLetter = %+v, want where and why it died", l)
			}
		}
		if got := b.letters(); len(got) != 3 {
			t.Errorf("letters %v are left, want 3", got)
		}
	})
}

func FuzzRedrive(f *testing.F) {
	f.Add("orders", "billing", "1", "k", "3")
	f.Add("orders\x00", "b\xff", "", "", "-1")
	f.Fuzz(func(t *testing.T, topic, subscription, id, key, deaths string) {
		broker := &mempubsub.Broker{}
		b := newBench(t, broker)
		s, err := broker.Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders", Name: "billing", Lease: time.Minute, MaxInFlight: 1, DeadLetter: deadOrders,
		})
		if err != nil {
			t.Fatal(err)
		}
		letter := driver.Message{ID: id, Key: key, Attributes: driver.AttributesOf(map[string]string{
			"ce-id": id, "mainstay-dead-letter-topic": topic, "mainstay-dead-letter-subscription": subscription,
			"mainstay-deaths": deaths,
		})}
		if err := broker.Publish(t.Context(), deadOrders, []driver.Message{letter}); err != nil {
			t.Fatal(err)
		}
		got, err := pubsub.Redrive(t.Context(), b.client, deadOrders, nil)
		if err != nil {
			t.Fatal(err)
		}
		if sum := got.Redriven + got.Filtered + got.Deaths + got.Foreign + got.Again; sum != 1 || got.Seen != 1 {
			t.Errorf("%+v, want the letter counted once", got)
		}
		lag, err := s.(driver.Lagger).Lag(t.Context())
		if err != nil || int(lag.Messages) != got.Redriven {
			t.Errorf("the subscription has %d, %v, want %d", lag.Messages, err, got.Redriven)
		}
	})
}
