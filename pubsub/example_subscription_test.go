package pubsub_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// A batch is handled in one go: one statement for many rows, say. What failed is named, and tried again or dead-lettered
// by itself; the rest is acknowledged.
func ExampleTopic_SubscribeBatch() {
	client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: prometheus.NewRegistry()})
	ctx, stop := context.WithCancel(context.Background())
	sub := Orders().SubscribeBatch(client, "reports", func(_ context.Context, batch []pubsub.Received[OrderPlaced]) error {
		defer stop()
		failed := make(map[int]error)
		for i, r := range batch {
			if r.Event.SKU == "" {
				failed[i] = resilience.Permanent(errors.New("no SKU"))
			}
		}
		fmt.Printf("%d orders, %d of them refused\n", len(batch), len(failed))
		if len(failed) > 0 {
			return &pubsub.BatchError{Failed: failed}
		}
		return nil
	}, &pubsub.BatchOptions{MaxBatch: 100})
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()

	err := Orders().Publish(context.Background(), client,
		OrderPlaced{OrderID: "1", SKU: "mug"}, OrderPlaced{OrderID: "2"}, OrderPlaced{OrderID: "3", SKU: "pot"})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("ended:", <-ended)
	// Output:
	// 3 orders, 1 of them refused
	// ended: <nil>
}

// A subscription pauses while what it depends on is away: other replicas get its messages meanwhile.
func ExampleSubscription_Pause() {
	client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: prometheus.NewRegistry()})
	ctx, stop := context.WithCancel(context.Background())
	sub := Orders().Subscribe(client, "billing", func(_ context.Context, e OrderPlaced) error {
		fmt.Println("bill order", e.OrderID)
		stop()
		return nil
	}, nil)
	sub.Pause() // also before Run
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()

	if err := Orders().Publish(ctx, client, OrderPlaced{OrderID: "42"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("paused:", sub.Paused())
	sub.Resume()
	fmt.Println("ended:", <-ended)
	// Output:
	// paused: true
	// bill order 42
	// ended: <nil>
}

func ExampleProtobuf() {
	names := pubsub.NewTopic("names", &pubsub.TopicOptions[*wrapperspb.StringValue]{
		Codec: pubsub.Protobuf[*wrapperspb.StringValue](),
	})
	m, err := names.Message(wrapperspb.String("ann"))
	fmt.Println(m.ContentType, len(m.Data), err)
	event, err := names.Decode(m)
	fmt.Println(event.GetValue(), err)
	// Output:
	// application/protobuf 5 <nil>
	// ann <nil>
}

// A codec is two functions; a topic has the one that its events need.
func ExampleCodec() {
	tokens := pubsub.NewTopic("tokens", &pubsub.TopicOptions[string]{Codec: pubsub.Codec[string]{
		ContentType: "text/plain",
		Encode:      func(s string) ([]byte, error) { return []byte(base64.StdEncoding.EncodeToString([]byte(s))), nil },
		Decode: func(data []byte) (string, error) {
			s, err := base64.StdEncoding.DecodeString(string(data))
			return string(s), err
		},
	}})
	client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: prometheus.NewRegistry()})
	ctx, stop := context.WithCancel(context.Background())
	sub := tokens.Subscribe(client, "audit", func(ctx context.Context, s string) error {
		fmt.Printf("%s travelled as %s\n", s, pubsub.MessageFrom(ctx).Data)
		stop()
		return nil
	}, nil)
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()
	if err := tokens.Publish(context.Background(), client, "mainstay"); err != nil {
		fmt.Println(err)
	}
	fmt.Println("ended:", <-ended)
	// Output:
	// mainstay travelled as bWFpbnN0YXk=
	// ended: <nil>
}
