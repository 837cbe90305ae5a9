package pubsub_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

type order struct {
	ID    string `json:"id"`
	Total int    `json:"total"`
}

func orders() *pubsub.Topic[order] {
	return pubsub.NewTopic("orders", &pubsub.TopicOptions[order]{Key: func(o order) string { return o.ID }, Type: "shop.order"})
}

func TestTopic(t *testing.T) {
	t.Run("RoundTrips", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			var got order
			var m *pubsub.Message
			stop := run(t, orders().Subscribe(b.client, "stock", func(ctx context.Context, o order) error {
				got, m = o, pubsub.MessageFrom(ctx)
				return nil
			}, nil))
			if err := orders().Publish(t.Context(), b.client, order{"42", 7}); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			if err := stop(); err != nil {
				t.Error(err)
			}
			if want := (order{"42", 7}); got != want {
				t.Errorf("handled %+v, want %+v", got, want)
			}
			if m == nil || m.Key != "42" || m.Type != "shop.order" || m.ContentType != "application/json" || m.ID == "" || m.Attempt != 1 {
				t.Errorf("message %+v, want key 42, type shop.order, JSON, an ID and attempt 1", m)
			}
		})
	})
	t.Run("PublishesSeveralEventsInOrder", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			got, stop := b.collect("orders")
			defer stop()
			if err := orders().Publish(t.Context(), b.client, order{"1", 1}, order{"2", 2}, order{"3", 3}); err != nil {
				t.Fatal(err)
			}
			if err := orders().Publish(t.Context(), b.client); err != nil {
				t.Errorf("of no event: got %v, want no error", err)
			}
			pass(time.Second)
			var keys []string
			ids := make(map[string]bool)
			for _, m := range got() {
				keys = append(keys, m.Key)
				ids[m.ID] = true
			}
			if want := []string{"1", "2", "3"}; !slices.Equal(keys, want) || len(ids) != 3 || ids[""] {
				t.Errorf("received keys %v under IDs %v, want %v, an ID each", keys, ids, want)
			}
		})
	})
	t.Run("SendsNoneWhereOneDoesNotEncode", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			got, stop := b.collect("ratios")
			defer stop()
			err := pubsub.NewTopic[float64]("ratios", nil).Publish(t.Context(), b.client, 0.5, math.NaN())
			if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), "event 1") {
				t.Errorf("got %v, want a permanent error that names event 1", err)
			}
			pass(time.Second)
			if ms := got(); len(ms) > 0 {
				t.Errorf("received %d messages, want none", len(ms))
			}
		})
	})
	t.Run("MessageKeepsItsIDForASecondTry", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			got, stop := b.collect("orders")
			defer stop()
			m, err := orders().Message(order{ID: "1"})
			if err != nil {
				t.Fatal(err)
			}
			b.publish("orders", m)
			b.publish("orders", m)
			pass(time.Second)
			if ms := got(); len(ms) != 2 || ms[0].ID != m.ID || ms[1].ID != m.ID {
				t.Errorf("received %v, want the same ID twice", ms)
			}
		})
	})
	t.Run("IgnoresUnknownFields", func(t *testing.T) {
		if o, err := orders().Decode(&pubsub.Message{Data: []byte(`{"id":"1","new":true}`)}); err != nil || o.ID != "1" {
			t.Errorf("Decode = %+v, %v, want the known field", o, err)
		}
	})
	t.Run("UndecodableIsPermanent", func(t *testing.T) {
		for _, data := range []string{"", "{", `{"id":1}`, `{} {}`, "\xff", "[]"} {
			_, err := orders().Decode(&pubsub.Message{Data: []byte(data)})
			var d *pubsub.DecodeError
			if !errors.As(err, &d) || d.Topic != "orders" || !resilience.IsPermanent(err) {
				t.Errorf("Decode(%q) = %v, want a permanent *DecodeError of orders", data, err)
			}
		}
	})
	t.Run("UndecodableCostsOneAttempt", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			letters, stopLetters := b.collect(deadTopic)
			defer stopLetters()
			defer run(t, orders().Subscribe(b.client, "stock", func(context.Context, order) error {
				t.Error("the handler saw what does not decode")
				return nil
			}, nil))()
			b.publish("orders", &pubsub.Message{Data: []byte("not JSON")})
			pass(time.Hour)
			if l := letters(); len(l) != 1 || l[0].DeadLetter.Attempts != 1 || string(l[0].Data) != "not JSON" {
				t.Errorf("dead letters %v, want one after one attempt", l)
			}
		})
	})
	t.Run("UnencodableIsPermanent", func(t *testing.T) {
		topic := pubsub.NewTopic[func()]("functions", nil)
		if _, err := topic.Message(func() {}); !resilience.IsPermanent(err) || !strings.Contains(err.Error(), `encode "functions"`) {
			t.Errorf("Message = %v, want a permanent error that names the topic", err)
		}
		if err := topic.Publish(t.Context(), nil, func() {}); err == nil {
			t.Error("Publish = nil, want the same error")
		}
	})
	t.Run("BadNameIsReportedWhereItIsUsed", func(t *testing.T) {
		client := newBench(t, &mempubsub.Broker{}).client
		bad := pubsub.NewTopic[order](".bad", nil)
		sub := bad.Subscribe(client, "s", func(context.Context, order) error { return nil }, nil)
		for what, err := range map[string]error{
			"Publish": bad.Publish(t.Context(), client, order{}), "Declare": client.Declare(t.Context(), bad), "Run": sub.Run(t.Context()),
		} {
			var invalid *pubsub.InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), `".bad"`) {
				t.Errorf("%s = %v, want an *InvalidError that names .bad", what, err)
			}
		}
	})
}

func TestPublishNamesTheMessage(t *testing.T) {
	client := newBench(t, &mempubsub.Broker{}).client
	err := client.Publish(t.Context(), "orders", &pubsub.Message{}, &pubsub.Message{ID: "\n"})
	var invalid *pubsub.InvalidError
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), `publish "orders": message 1: ID`) {
		t.Errorf("Publish = %v, want topic, message 1 and field", err)
	}
	if err := client.Publish(t.Context(), "orders"); err != nil {
		t.Errorf("Publish of nothing = %v, want nil", err)
	}
}
