package pubsub_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// stock is a broker that costs nothing: it hands out the same message n times, and says when all are acknowledged.
type stock struct {
	driver.Broker
	d           driver.Delivery
	left, acked int
	done        chan struct{}
}

func (s *stock) Subscribe(context.Context, driver.SubscribeOptions) (driver.Subscription, error) {
	return s, nil
}

func (s *stock) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	n = min(n, s.left)
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.left -= n
	copies := make([]driver.Delivery, n)
	ds := make([]*driver.Delivery, n)
	for i := range ds {
		copies[i] = s.d
		ds[i] = &copies[i]
	}
	return ds, nil
}

func (s *stock) Ack(_ context.Context, ds []*driver.Delivery) error { // one at a time, as the loop has it
	if s.acked -= len(ds); s.acked == 0 {
		close(s.done)
	}
	return nil
}

func (s *stock) Release(context.Context, []*driver.Delivery, time.Duration) error { return nil }
func (s *stock) Extend(context.Context, []*driver.Delivery) error                 { return nil }
func (s *stock) Close(context.Context) error                                      { return nil }

// BenchmarkConsume is what a message costs from the moment that the driver has it to its acknowledgement, without
// the broker and without publishing: metrics on, no trace kept.
func BenchmarkConsume(b *testing.B) {
	attrs := driver.AttributesOf(map[string]string{
		"ce-specversion": "1.0", "ce-id": "id", "ce-source": "s", "ce-type": "t", "ce-time": "2026-01-01T00:00:00Z",
		"ce-correlationid": "c", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
	})
	one := func(context.Context, *pubsub.Message) error { return nil }
	many := func(context.Context, []*pubsub.Message) error { return nil }
	for name, subscribe := range map[string]func(*pubsub.Client) *pubsub.Subscription{
		"Bounded": func(c *pubsub.Client) *pubsub.Subscription { return c.Subscribe("t", "s", one, nil) },
		"Unbounded": func(c *pubsub.Client) *pubsub.Subscription {
			return c.Subscribe("t", "s", one, &pubsub.SubscriptionOptions{HandlerTimeout: -1})
		},
		"Batch": func(c *pubsub.Client) *pubsub.Subscription { return c.SubscribeBatch("t", "s", many, nil) },
	} {
		b.Run(name, func(b *testing.B) {
			broker := &stock{
				d:    driver.Delivery{Message: driver.Message{Attributes: attrs, Data: make([]byte, 256)}, Attempt: 1, Position: "t/1"},
				left: b.N, acked: b.N, done: make(chan struct{}),
			}
			sub := subscribe(pubsub.NewClient(broker, &pubsub.Options{
				Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), TracerProvider: noop.NewTracerProvider(),
			}))
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			b.ReportAllocs()
			b.ResetTimer()
			go func() { ended <- sub.Run(ctx) }()
			<-broker.done
			b.StopTimer()
			cancel()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
}
