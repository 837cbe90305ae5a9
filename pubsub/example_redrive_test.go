package pubsub_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// An operator looks at the dead letters of a subscription, mends what was broken, and puts them back.
func ExampleRedrive() {
	ctx := context.Background()
	client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: prometheus.NewRegistry()})
	mended := make(chan struct{})
	done := make(chan struct{})
	sub := client.Subscribe("orders", "billing", func(_ context.Context, m *pubsub.Message) error {
		select {
		case <-mended:
			fmt.Println("billed", m.ID)
			close(done)
			return nil
		default:
			return resilience.Permanent(errors.New("no such currency"))
		}
	}, nil)
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()
	if err := client.Publish(ctx, "orders", &pubsub.Message{ID: "o-1"}); err != nil {
		fmt.Println(err)
	}

	const dead = "orders.dead-letter.billing"
	var letters []*pubsub.Message // none until the handler has run
	for len(letters) == 0 {
		letters, _ = pubsub.Peek(ctx, client, dead, 10)
	}
	fmt.Println("dead:", letters[0].ID, letters[0].DeadLetter.Error)
	close(mended)
	result, err := pubsub.Redrive(ctx, client, dead, &pubsub.RedriveOptions{
		Filter: func(m *pubsub.Message) bool { return m.DeadLetter.Error == "no such currency" },
	})
	fmt.Println("put back:", result.Redriven, err)
	<-done
	stop()
	<-ended
	// Unordered output:
	// dead: o-1 no such currency
	// put back: 1 <nil>
	// billed o-1
}
