package platform

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// brokerPatience bounds how long a service waits at start for a broker that is down.
const brokerPatience = time.Minute

// Connect returns a client of the broker that the flags name. The broker may be down: the connection is made when it
// comes up, and made again whenever it is lost. Readiness does not ask for it: a service whose events wait in its
// outbox answers its callers all the same.
func (p *Platform) Connect() (*pubsub.Client, error) {
	nc, err := nats.Connect(p.Broker,
		nats.Name(p.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond))
	if err != nil {
		return nil, err
	}
	p.onClose(func() error { nc.Close(); return nil })
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	var broker driver.Broker = natspubsub.New(js, nil)
	if p.wrapBroker != nil {
		broker = p.wrapBroker(broker)
	}
	return pubsub.NewClient(broker, &pubsub.Options{
		Source: "/" + p.Name, Logger: p.Logger, TracerProvider: p.Tracing.TracerProvider(), Registerer: p.Registry,
	}), nil
}

// Declare creates the topics that are missing. It waits for a broker that is down, a minute at most.
func Declare(client *pubsub.Client, topics ...pubsub.Named) mainstay.Runner {
	patience := resilience.New("broker", &resilience.Options{
		Timeout: brokerPatience,
		Retry:   resilience.RetryOptions{MaxAttempts: 1000, MaxBackoff: time.Second},
		Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
	})
	return mainstay.Once(func(ctx context.Context) error {
		_, err := resilience.Do(ctx, patience, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, client.Declare(ctx, topics...)
		})
		return err
	})
}

// Subscription returns the options of the service's subscriptions.
func (p *Platform) Subscription() *pubsub.SubscriptionOptions {
	return &pubsub.SubscriptionOptions{Lease: p.Lease}
}
