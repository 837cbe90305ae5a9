// Command quickstart is a whole service: one endpoint, one topic, one subscription.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// The contract: the server, its typed clients and its subscribers all use these two values.
var (
	Greet = httpapi.NewEndpoint[GreetRequest, Greeting]("POST /greetings", &httpapi.EndpointOptions{
		Access: transport.Public,
	})
	Greeted = pubsub.NewTopic[Greeting]("greeted", nil)
)

// GreetRequest says whom to greet.
type GreetRequest struct {
	Name string `json:"name" api:"required"`
}

// Greeting is the answer, and the event.
type Greeting struct {
	Text string `json:"text"`
}

func main() {
	slog.SetDefault(logging.New(os.Stderr, &logging.Options{Format: logging.Text})) // lines carry the correlation ID

	broker := pubsub.NewClient(&mempubsub.Broker{}, nil) // natspubsub.New(js, nil) for a real one
	mux := http.NewServeMux()
	httpapi.Handle(mux, Greet, func(ctx context.Context, req GreetRequest) (Greeting, error) {
		g := Greeting{Text: "Hello, " + req.Name}
		return g, Greeted.Publish(ctx, broker, g)
	})
	server := httpserver.New(mux, &httpserver.Options{Addr: "127.0.0.1:8080", Unauthenticated: true})
	subscription := Greeted.Subscribe(broker, "log", func(ctx context.Context, g Greeting) error {
		slog.InfoContext(ctx, "greeted", "text", g.Text)
		return nil
	}, nil)

	fmt.Println(`Try: curl 127.0.0.1:8080/greetings -H 'Content-Type: application/json' -d '{"name":"Ada"}'`)
	if err := mainstay.Run(context.Background(), nil, subscription, server); err != nil {
		slog.Error("service ended", "error", err)
		os.Exit(1)
	}
}
