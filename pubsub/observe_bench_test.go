package pubsub

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// nowhere is a broker that takes everything and has nothing.
type nowhere struct{}

func (nowhere) Publish(context.Context, string, []driver.Message) error { return nil }
func (nowhere) Subscribe(context.Context, driver.SubscribeOptions) (driver.Subscription, error) {
	return nil, driver.ErrClosed
}

// BenchmarkObserve is what measuring costs, outside a trace that is kept: a call of Publish with one message, and one
// attempt to handle one, each without the work itself.
func BenchmarkObserve(b *testing.B) {
	client := NewClient(nowhere{}, &Options{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	b.Run("Send", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := client.observer.sending(b.Context(), "orders", 1)
			s.start(b.Context())
			s.end(nil)
		}
	})
	b.Run("Attempt", func(b *testing.B) {
		sub := client.Subscribe("orders", "stock", func(context.Context, *Message) error { return nil },
			&SubscriptionOptions{HandlerTimeout: -1})
		sub.handled = client.observer.announce("orders", "stock")
		it := &item{m: &Message{ID: "m-1", CorrelationID: "c-1"}}
		b.ReportAllocs()
		for b.Loop() {
			if err := sub.attempt(b.Context(), it); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Envelope", func(b *testing.B) {
		m := &Message{ID: "m-1", Metadata: map[string]string{"tenant": "a", "region": "eu"}}
		b.ReportAllocs()
		for b.Loop() {
			s := client.observer.sending(b.Context(), "orders", 1)
			ms, err := newPacker(b.Context(), client, "orders", s).pack(b.Context(), []*Message{m})
			if err != nil {
				b.Fatal(err)
			}
			decode("orders", "stock", &driver.Delivery{Message: ms[0]}, client.traceFields)
		}
	})
}
