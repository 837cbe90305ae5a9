package mempubsub_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

func Example() {
	var broker mempubsub.Broker // ready as it is
	client := pubsub.NewClient(&broker, &pubsub.Options{Registerer: prometheus.NewRegistry()})

	ctx, stop := context.WithCancel(context.Background())
	sub := client.Subscribe("greetings", "printer", func(_ context.Context, m *pubsub.Message) error {
		fmt.Printf("%s\n", m.Data)
		stop()
		return nil
	}, nil)
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()
	if err := client.Publish(ctx, "greetings", &pubsub.Message{Data: []byte("hello")}); err != nil {
		fmt.Println(err)
	}
	<-ended
	// Output: hello
}
