package pubsub_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// lineage is what a message tells of where it comes from.
func lineage(m *pubsub.Message) string {
	return m.ID + " of " + m.CausationID + " in " + m.CorrelationID
}

// TestCausesOutliveDeadLetterAndRedrive: a -> b -> c, where b first ends as a dead letter, from which an operator sends
// it again.
func TestCausesOutliveDeadLetterAndRedrive(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		j := &journal{}
		stops := []func() error{
			run(t, b.client.Subscribe("a", "s", func(ctx context.Context, m *pubsub.Message) error {
				j.note("%s", lineage(m))
				return b.client.Publish(ctx, "b", &pubsub.Message{ID: "b"})
			}, nil)),
			run(t, b.client.Subscribe("b.dead-letter.s", "operator", func(ctx context.Context, m *pubsub.Message) error {
				j.note("letter %s", lineage(m))
				return b.client.Publish(ctx, m.DeadLetter.Topic, m)
			}, nil)),
			run(t, b.client.Subscribe("c", "s", func(_ context.Context, m *pubsub.Message) error {
				j.note("%s", lineage(m))
				return nil
			}, nil)),
		}
		var mended atomic.Bool
		stops = append(stops, run(t, b.client.Subscribe("b", "s", func(ctx context.Context, m *pubsub.Message) error {
			j.note("%s", lineage(m))
			if !mended.Swap(true) {
				return errors.New("boom")
			}
			return b.client.Publish(ctx, "c", &pubsub.Message{ID: "c"})
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 1}})))

		ctx := correlation.NewContext(t.Context(), "r-1")
		if err := b.client.Publish(ctx, "a", &pubsub.Message{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		for _, stop := range stops {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		want := []string{"a of  in r-1", "b of a in r-1", "letter b of a in r-1", "b of a in r-1", "c of b in r-1"}
		if got := j.all(); !reflect.DeepEqual(got, want) {
			t.Errorf("handled %q, want %q", got, want)
		}
	})
}

// TestRedrivenMessageIsNoCauseOfItself: what a request published has no cause, and gets none by being sent again.
func TestRedrivenMessageIsNoCauseOfItself(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		got, stopCollecting := b.collect("again")
		stop := run(t, b.client.Subscribe("orders", "s", func(ctx context.Context, m *pubsub.Message) error {
			return b.client.Publish(ctx, "again", m)
		}, nil))
		b.publish("orders", &pubsub.Message{ID: "a", CorrelationID: "r-1"})
		pass(time.Second)
		if err := errors.Join(stop(), stopCollecting()); err != nil {
			t.Error(err)
		}
		if ms := got(); len(ms) != 1 || lineage(ms[0]) != "a of  in r-1" {
			t.Errorf("got %d messages %+v, want one: a without a cause", len(ms), ms)
		}
	})
}

// TestDeadLetterPassesNoHostileIDOn: who reads the letters with another client gets none of it either.
func TestDeadLetterPassesNoHostileIDOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const evil = "abc\r\nX-Evil: 1"
		mem := &mempubsub.Broker{}
		b := newBench(t, mem)
		letters, err := mem.Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders.dead-letter.s", Name: "raw", Lease: time.Minute, MaxInFlight: 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, b.client.Subscribe("orders", "s", func(context.Context, *pubsub.Message) error {
			return errors.New("boom")
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 1}}))
		err = mem.Publish(t.Context(), "orders", []driver.Message{{Attributes: driver.AttributesOf(map[string]string{
			"ce-id": "m-1", "ce-correlationid": evil, "ce-causationid": evil,
		})}})
		if err != nil {
			t.Fatal(err)
		}
		ds, err := letters.Receive(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		as := ds[0].Attributes.Map()
		if cause, there := as["ce-causationid"]; there || as["ce-correlationid"] != "m-1" {
			t.Errorf("the letter is of %q in %q, want no cause, in m-1", cause, as["ce-correlationid"])
		}
		if err := errors.Join(letters.Ack(t.Context(), ds), letters.Close(t.Context()), stop()); err != nil {
			t.Error(err)
		}
	})
}
