package natspubsub_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

func Example() {
	url, stopServer := exampleServer()
	defer stopServer()

	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := pubsub.NewClient(natspubsub.New(js, nil), &pubsub.Options{
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
	order := &pubsub.Message{Key: "42", Data: []byte("order 42")}
	// Not with ctx: the handler may end it before the server has confirmed.
	if err := client.Publish(context.Background(), "order.placed", order); err != nil {
		fmt.Println(err)
	}
	fmt.Println("ended:", <-ended)
	// Output:
	// order 42, attempt 1
	// ended: <nil>
}

// exampleServer stands in for the server that you have.
func exampleServer() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "nats")
	if err != nil {
		panic(err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		panic("the server does not start")
	}
	return s.ClientURL(), func() {
		s.Shutdown()
		s.WaitForShutdown()
		os.RemoveAll(dir)
	}
}

func ExampleLossyPublisher() {
	url, stopServer := exampleServer()
	defer stopServer()

	nc, err := nats.Connect(url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	listener, err := nc.SubscribeSync("cursor.moved")
	if err != nil {
		fmt.Println(err)
		return
	}
	lossy := natspubsub.NewLossyPublisher(nc, &pubsub.Options{Source: "/board", Registerer: prometheus.NewRegistry()})

	ctx := context.Background()
	if err := lossy.Fire(ctx, "cursor.moved", &pubsub.Message{Data: []byte("12,34")}); err != nil {
		fmt.Println(err)
		return
	}
	m, err := listener.NextMsg(10 * time.Second)
	if err != nil {
		fmt.Println(err) // it was lost, which has to be all right
		return
	}
	fmt.Printf("%s from %s\n", m.Data, m.Header.Get("ce-source"))
	// Output: 12,34 from /board
}
