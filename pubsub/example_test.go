package pubsub_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// OrderPlaced is an event. It belongs in a package that publishers and subscribers import.
type OrderPlaced struct {
	OrderID string `json:"order_id"`
	SKU     string `json:"sku"`
}

// Orders is the contract: the topic's name, its event type, and what keeps events in order.
func Orders() *pubsub.Topic[OrderPlaced] {
	return pubsub.NewTopic("order.placed", &pubsub.TopicOptions[OrderPlaced]{
		Key: func(e OrderPlaced) string { return e.OrderID },
	})
}

func Example() {
	var broker mempubsub.Broker
	client := pubsub.NewClient(&broker, &pubsub.Options{Source: "/orders", Registerer: prometheus.NewRegistry()})

	ctx, stop := context.WithCancel(context.Background())
	sub := Orders().Subscribe(client, "inventory", func(ctx context.Context, e OrderPlaced) error {
		m := pubsub.MessageFrom(ctx)
		fmt.Printf("reserve %s for order %s (key %s, attempt %d)\n", e.SKU, e.OrderID, m.Key, m.Attempt)
		stop()
		return nil
	}, nil)
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()

	if err := Orders().Publish(ctx, client, OrderPlaced{OrderID: "42", SKU: "mug"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("ended:", <-ended)
	// Output:
	// reserve mug for order 42 (key 42, attempt 1)
	// ended: <nil>
}
