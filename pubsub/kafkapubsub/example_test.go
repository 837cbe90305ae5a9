package kafkapubsub_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

func Example() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1)) // stands in for the one that you have
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()

	kafka, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer kafka.Close()
	client := pubsub.NewClient(kafkapubsub.New(kafka, nil), &pubsub.Options{
		Source: "/orders", Registerer: prometheus.NewRegistry(),
	})

	ctx, stop := context.WithCancel(context.Background())
	sub := client.Subscribe("order.placed", "inventory", func(_ context.Context, m *pubsub.Message) error {
		fmt.Printf("%s, attempt %d\n", m.Data, m.Attempt)
		stop()
		return nil
	}, nil)
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()
	if err := client.Publish(context.Background(), "order.placed", &pubsub.Message{Key: "42", Data: []byte("order 42")}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("ended:", <-ended)
	// Output:
	// order 42, attempt 1
	// ended: <nil>
}
