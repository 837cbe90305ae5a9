package pubsub_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// movers is a broker that can hand messages to a subscription alone, as long as each topic has one.
type movers struct {
	driver.Broker
	waits bool  // as the broker below it does: it keeps a moved message until its time; else it delivers at once
	err   error // of Redeliver
	tell  journal
}

func (b *movers) Redeliver(ctx context.Context, topic, name string, ms []driver.Message, delay time.Duration) error {
	b.tell.note("%s %s after %v", name, ms[0].Attributes.Get("ce-id"), delay)
	switch {
	case b.err != nil:
		return b.err
	case b.waits:
		return b.Broker.(driver.Redeliverer).Redeliver(ctx, topic, name, ms, delay)
	}
	return b.Publish(ctx, topic, ms)
}

// parking runs a subscription with o on broker. Its handler fails for messages whose ID starts with "bad", and asks
// for an hour.
func parking(t *testing.T, broker driver.Broker, o pubsub.SubscriptionOptions) (b *bench, j *journal, stop func() error) {
	b = newBench(t, broker)
	j = &journal{}
	began := time.Now()
	o.Retry.MinBackoff, o.Retry.MaxBackoff = time.Hour, time.Hour
	stop = run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
		j.note("%s %d at %v", m.ID, m.Attempt, time.Since(began))
		if strings.HasPrefix(m.ID, "bad") {
			return errors.New("boom")
		}
		if m.ID == "slow" {
			time.Sleep(2 * time.Minute)
		}
		return nil
	}, &o))
	return b, j, stop
}

func TestFarAttempt(t *testing.T) {
	for _, waits := range []bool{true, false} {
		name := map[bool]string{true: "BrokerWaits", false: "BrokerDeliversAtOnce"}[waits]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := &movers{Broker: &mempubsub.Broker{}, waits: waits}
				b, j, stop := parking(t, broker, pubsub.SubscriptionOptions{
					MaxInPlaceDelay: 10 * time.Minute, Retry: pubsub.Retry{MaxAttempts: 3},
				})
				defer stop()
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				b.publish("orders", &pubsub.Message{ID: "bad", Key: "k"})
				b.publish("orders", &pubsub.Message{ID: "good", Key: "other"})
				if waits {
					b.publish("orders", &pubsub.Message{ID: "next", Key: "k"})
				}
				pass(30 * time.Minute)
				want := []string{"bad 1 at 0s", "good 1 at 0s"}
				if waits {
					want = append(want, "next 1 at 0s")
				}
				got := j.all()
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("handled %q, want %q: the key goes on", got, want)
				}
				if n := b.metric("mainstay_pubsub_in_flight_messages", "subscription", "stock"); n != 0 {
					t.Errorf("%v in flight, want none: the message has left", n)
				}
				pass(4 * time.Hour)
				if got := j.all()[len(want):]; !slices.Equal(got, []string{"bad 2 at 1h0m0s", "bad 3 at 2h0m0s"}) {
					t.Errorf("later attempts: %q, want the second and the third, an hour apart", got)
				}
				l := letters()
				if len(l) != 1 {
					t.Fatalf("%d dead letters, want 1", len(l))
				}
				d := l[0].DeadLetter
				if l[0].ID != "bad" || d.Attempts != 3 || d.Time.Sub(d.FirstFailed) != 2*time.Hour {
					t.Errorf("dead letter %q %+v, want bad after 3 attempts in 2h", l[0].ID, d)
				}
				if l[0].Attempt != 1 {
					t.Errorf("the letter's own attempt is %d, want 1: it begins anew", l[0].Attempt)
				}
				if n := b.metric("mainstay_pubsub_moved_total", "topic", "orders", "subscription", "stock"); n != 2 {
					t.Errorf("%v counted as moved, want 2", n)
				}
			})
		})
	}
}

func TestFarAttemptKeepsItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, j, stop := parking(t, &movers{Broker: &mempubsub.Broker{}, waits: true}, pubsub.SubscriptionOptions{
			MaxInPlaceDelay: time.Minute, Retry: pubsub.Retry{MaxAge: 150 * time.Minute},
		})
		defer stop()
		b.publish("orders", &pubsub.Message{ID: "bad"})
		pass(24 * time.Hour)
		if got, want := j.all(), []string{"bad 1 at 0s", "bad 2 at 1h0m0s", "bad 3 at 2h0m0s"}; !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q", got, want)
		}
	})
}

func TestMaxParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &movers{Broker: &mempubsub.Broker{}, waits: true}
		b, j, stop := parking(t, broker, pubsub.SubscriptionOptions{
			MaxParked: 2, MaxInPlaceDelay: -1, Concurrency: 1, Retry: pubsub.Retry{MaxAttempts: 2},
		})
		defer stop()
		for _, id := range []string{"bad-1", "bad-2", "bad-3", "bad-4"} {
			b.publish("orders", &pubsub.Message{ID: id, Key: id})
		}
		pass(time.Minute)
		if got, want := broker.tell.all(), []string{"stock bad-3 after 1h0m0s", "stock bad-4 after 1h0m0s"}; !slices.Equal(got, want) {
			t.Errorf("moved %q, want %q", got, want)
		}
		if n := b.metric("mainstay_pubsub_in_flight_messages", "subscription", "stock"); n != 2 {
			t.Errorf("%v in flight, want the 2 that wait here", n)
		}
		pass(2 * time.Hour)
		got := j.all()[4:]
		slices.Sort(got)
		if want := []string{"bad-1 2 at 1h0m0s", "bad-2 2 at 1h0m0s", "bad-3 2 at 1h0m0s", "bad-4 2 at 1h0m0s"}; !slices.Equal(got, want) {
			t.Errorf("then handled %q, want %q", got, want)
		}
	})
}

func TestMessageThatCannotBeMovedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &movers{Broker: &mempubsub.Broker{}, err: errors.New("queue is full")}
		b, j, stop := parking(t, broker, pubsub.SubscriptionOptions{
			MaxInPlaceDelay: time.Minute, Retry: pubsub.Retry{MaxAttempts: 3},
		})
		defer stop()
		b.publish("orders", &pubsub.Message{ID: "bad", Key: "k"}, &pubsub.Message{ID: "next", Key: "k"})
		pass(24 * time.Hour)
		want := []string{"bad 1 at 0s", "bad 2 at 1h0m0s", "bad 3 at 2h0m0s", "next 1 at 2h0m0s"}
		if got := j.all(); !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q: it waits here, and its key with it", got, want)
		}
		if got := len(broker.tell.all()); got != 2 {
			t.Errorf("%d tries to move it, want one for each pause", got)
		}
		if n := strings.Count(b.logs.String(), "queue is full"); n != 2 {
			t.Errorf("logged %d times, want 2:\n%s", n, b.logs)
		}
	})
}

func TestLongPauseStaysWhereTheBrokerCannotMove(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		j := &journal{}
		began := time.Now()
		defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			j.note("%s at %v", m.ID, time.Since(began))
			if m.Attempt == 1 && m.ID == "1" {
				return errors.New("boom")
			}
			return nil
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MinBackoff: 5 * time.Hour, MaxBackoff: 5 * time.Hour}}))()
		b.publish("orders", &pubsub.Message{ID: "1", Key: "k"}, &pubsub.Message{ID: "2", Key: "k"})
		pass(6 * time.Hour)
		if got, want := j.all(), []string{"1 at 0s", "1 at 5h0m0s", "2 at 5h0m0s"}; !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q", got, want)
		}
	})
}

func TestParkingBoundsNeedABrokerThatMoves(t *testing.T) {
	b := newBench(t, &mempubsub.Broker{})
	ok := func(context.Context, *pubsub.Message) error { return nil }
	client := pubsub.NewClient(struct{ driver.Broker }{&mempubsub.Broker{}}, &pubsub.Options{Registerer: b.reg})
	for name, o := range map[string]*pubsub.SubscriptionOptions{
		"MaxParked": {MaxParked: 1}, "MaxInPlaceDelay": {MaxInPlaceDelay: time.Second},
	} {
		err := client.Subscribe("orders", "stock", ok, o).Run(t.Context())
		var invalid *pubsub.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("Run with %s = %v, want an *InvalidError that names it", name, err)
		}
	}
}

// TestWhatAMessageClaimsIsBounded: a stranger may write anything into the attributes of a moved message.
func TestWhatAMessageClaimsIsBounded(t *testing.T) {
	tests := map[string]struct {
		attrs map[string]string
		want  string
	}{
		"Negative": {map[string]string{"mainstay-attempts": "-5"}, "m 1 at 0s"},
		"Huge":     {map[string]string{"mainstay-attempts": "99999999999999999999"}, "m 1 at 0s"},
		"NoNumber": {map[string]string{"mainstay-attempts": "many", "mainstay-not-before": "later", "mainstay-first-failure": "once"}, "m 1 at 0s"},
		"Past":     {map[string]string{"mainstay-attempts": "2", "mainstay-not-before": "1970-01-01T00:00:00Z"}, "m 3 at 0s"},
		"FarAway":  {map[string]string{"mainstay-not-before": "9999-12-31T23:59:59Z"}, "m 1 at 0s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := &mempubsub.Broker{}
				_, j, stop := parking(t, broker, pubsub.SubscriptionOptions{})
				defer stop()
				tt.attrs["ce-id"] = "m"
				if err := broker.Publish(t.Context(), "orders", []driver.Message{{Key: "k", Attributes: driver.AttributesOf(tt.attrs)}}); err != nil {
					t.Fatal(err)
				}
				pass(24 * time.Hour)
				if got := j.all(); !slices.Equal(got, []string{tt.want}) {
					t.Errorf("handled %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestEarlyMessageHoldsUpNoKey: its key went on when it was moved.
func TestEarlyMessageHoldsUpNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &mempubsub.Broker{}
		b, j, stop := parking(t, broker, pubsub.SubscriptionOptions{})
		defer stop()
		early := driver.Message{Key: "k", Attributes: driver.AttributesOf(map[string]string{
			"ce-id": "early", "mainstay-attempts": "1", "mainstay-not-before": time.Now().Add(5 * time.Minute).Format(time.RFC3339Nano),
		})}
		if err := broker.Publish(t.Context(), "orders", []driver.Message{early}); err != nil {
			t.Fatal(err)
		}
		b.publish("orders", &pubsub.Message{ID: "next", Key: "k"})
		pass(4 * time.Minute)
		b.publish("orders", &pubsub.Message{ID: "slow", Key: "k"})
		pass(time.Hour)
		if got, want := j.all(), []string{"next 1 at 0s", "slow 1 at 4m0s", "early 2 at 6m0s"}; !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q: once it is due it takes its turn", got, want)
		}
	})
}
