package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	gocloud "gocloud.dev/pubsub"
	gocloudmem "gocloud.dev/pubsub/mempubsub"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

const topicName = "benchmark"

func memoryContests() []contest {
	bare := kitInMemory("mempubsub, bare", noop.NewTracerProvider())
	observed := kitInMemory("mempubsub, observed", sampling())
	return []contest{
		{kit: bare, peer: channel(), ns: 1000, allocs: 6},
		{kit: observed, peer: channel(), ns: 2000, allocs: 12},
		{kit: observed, peer: goChannel()},
		{kit: observed, peer: gocloudInMemory()},
	}
}

// sampling keeps a tenth of the traces, and exports none.
func sampling() trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.1))))
}

func kitInMemory(name string, tp trace.TracerProvider) way {
	return way{name, func(ctx context.Context, handled func()) (line, error) {
		return kitLine(ctx, &mempubsub.Broker{}, tp, memoryBatch, handled, func() {})
	}}
}

// kitLine is the kit on any broker, publishing batch messages a call.
func kitLine(
	ctx context.Context, b driver.Broker, tp trace.TracerProvider, batch int, handled, release func(),
) (line, error) {
	return kitLineWith(ctx, b, setting{tp: tp, batch: batch, data: make([]byte, payloadSize)}, handled, release)
}

// setting is how the kit is used.
type setting struct {
	tp           trace.TracerProvider
	batch        int // messages a call of Publish
	data         []byte
	subscription *pubsub.SubscriptionOptions
}

func kitLineWith(ctx context.Context, b driver.Broker, how setting, handled, release func()) (line, error) {
	client := pubsub.NewClient(b, &pubsub.Options{
		Source: "/benchmark", TracerProvider: how.tp, Registerer: prometheus.NewRegistry(),
		Logger: slog.New(slog.DiscardHandler),
	})
	topic := pubsub.NewTopic(topicName, &pubsub.TopicOptions[[]byte]{Codec: pubsub.Raw()})
	sub := topic.Subscribe(client, "s", func(context.Context, []byte) error {
		handled()
		return nil
	}, how.subscription)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	var failure error
	go func() {
		defer close(ended)
		failure = sub.Run(ctx)
	}()
	select {
	case <-sub.Ready():
	case <-ended:
		cancel()
		return line{}, fmt.Errorf("subscription: %w", failure)
	}
	publish := func(ctx context.Context, n int) error {
		return inBatches(n, how.batch, func(n int) error {
			return topic.Publish(ctx, client, slices.Repeat([][]byte{how.data}, n)...)
		})
	}
	return line{publish, func() {
		cancel()
		<-ended
		release()
	}}, nil
}

// channel is the least that a queue between two goroutines costs.
func channel() way {
	return way{"a channel", func(_ context.Context, handled func()) (line, error) {
		c, ended := make(chan []byte, 1000), make(chan struct{})
		go func() {
			defer close(ended)
			for range c {
				handled()
			}
		}()
		data := make([]byte, payloadSize)
		return line{
			publish: func(_ context.Context, n int) error {
				for range n {
					c <- data
				}
				return nil
			},
			close: func() { close(c); <-ended },
		}, nil
	}}
}

func goChannel() way {
	return way{"watermill GoChannel", func(ctx context.Context, handled func()) (line, error) {
		ps := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 1000}, watermill.NopLogger{})
		return watermillLine(ctx, ps, ps, memoryBatch, handled, func() { _ = ps.Close() })
	}}
}

// watermillLine publishes size messages a call and handles one message after the other, as watermill's router does for one handler.
func watermillLine(
	ctx context.Context, pub message.Publisher, sub message.Subscriber, size int, handled, release func(),
) (line, error) {
	ms, err := sub.Subscribe(ctx, topicName)
	if err != nil {
		return line{}, err
	}
	go func() {
		for m := range ms {
			handled()
			m.Ack()
		}
	}()
	data := make([]byte, payloadSize)
	publish := func(_ context.Context, n int) error {
		return inBatches(n, size, func(n int) error {
			batch := make([]*message.Message, n)
			for i := range batch {
				batch[i] = message.NewMessage(watermill.NewUUID(), data)
			}
			return pub.Publish(topicName, batch...)
		})
	}
	return line{publish, release}, nil
}

func gocloudInMemory() way {
	return way{"gocloud mempubsub", func(ctx context.Context, handled func()) (line, error) {
		topic := gocloudmem.NewTopic()
		sub := gocloudmem.NewSubscription(topic, patience)
		receiving, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				m, err := sub.Receive(receiving)
				if err != nil {
					return
				}
				handled()
				m.Ack()
			}
		}()
		data := make([]byte, payloadSize)
		return line{
			publish: func(ctx context.Context, n int) error {
				return fromMany(ctx, n, func(ctx context.Context) error {
					return topic.Send(ctx, &gocloud.Message{Body: data})
				})
			},
			close: func() {
				cancel()
				<-ended
				_ = sub.Shutdown(context.WithoutCancel(ctx))
				_ = topic.Shutdown(context.WithoutCancel(ctx))
			},
		}, nil
	}}
}
