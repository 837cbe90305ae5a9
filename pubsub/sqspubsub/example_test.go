package sqspubsub_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub/sqstest"
)

func Example() {
	server, err := sqstest.NewServer() // stands in for the services that you have
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	config := aws.Config{Region: sqstest.Region, Credentials: credentials, BaseEndpoint: aws.String(server.URL())}
	broker := sqspubsub.New(sqs.NewFromConfig(config), sns.NewFromConfig(config), nil)
	client := pubsub.NewClient(broker, &pubsub.Options{Source: "/orders", Registerer: prometheus.NewRegistry()})

	ctx, stop := context.WithCancel(context.Background())
	sub := client.Subscribe("order.placed", "inventory", func(_ context.Context, m *pubsub.Message) error {
		fmt.Printf("%s, attempt %d\n", m.Data, m.Attempt)
		stop()
		return nil
	}, nil)
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx) }()
	<-sub.Ready()
	err = client.Publish(context.Background(), "order.placed", &pubsub.Message{Key: "42", Data: []byte("order 42")})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("ended:", <-ended)
	// Output:
	// order 42, attempt 1
	// ended: <nil>
}
