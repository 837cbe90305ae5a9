package platform

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
// outbox answers its callers all the same. What can never be a broker's URL is an error at once.
func (p *Platform) Connect() (*pubsub.Client, error) {
	if err := CheckBroker(p.Broker); err != nil {
		return nil, err
	}
	nc, err := nats.Connect(p.Broker,
		nats.Name(p.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectErrHandler(p.notConnected))
	if err != nil {
		return nil, err
	}
	p.onClose(func() error { nc.Close(); return nil })
	p.nats = nc
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	var broker driver.Broker = natspubsub.New(js, nil)
	if p.wrapBroker != nil {
		broker = p.wrapBroker(broker)
	}
	return pubsub.NewClient(broker, &pubsub.Options{
		Source: "/" + p.Name, Logger: p.Logger,
		TracerProvider: p.Tracing.TracerProvider(), Propagator: p.Tracing.Propagator(), Registerer: p.Registry,
	}), nil
}

// notConnected keeps the reason why there is no connection. That no server is left is none: the next try has one.
func (p *Platform) notConnected(_ *nats.Conn, err error) {
	if !errors.Is(err, nats.ErrNoServers) {
		p.natsErr.Store(&err)
	}
}

// CheckBroker returns an error unless urls is what Config.Broker takes: the URL of a NATS server, or those of a cluster
// with commas in between. The error is silent about urls, which may hold a password.
func CheckBroker(urls string) error {
	for s := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Hostname() == "" {
			return errBroker
		}
		if port := u.Port(); port != "" {
			if _, err := strconv.ParseUint(port, 10, 16); err != nil {
				return errBroker
			}
		}
	}
	return nil
}

var errBroker = errors.New(`-broker: want the URL of a NATS server, "nats://host:port"`)

// Declare creates the topics that are missing, by the client that [Platform.Connect] returned. It waits for a broker
// that is down, a minute at most, and says so in the log.
func (p *Platform) Declare(client *pubsub.Client, topics ...pubsub.Named) mainstay.Runner {
	return mainstay.Once((&declaration{p: p, client: client, topics: topics}).Run)
}

// declaration is a type, not a closure, for its name in errors and logs: platform.(*declaration).Run.
type declaration struct {
	p      *Platform
	client *pubsub.Client
	topics []pubsub.Named
	warned bool
}

// Run declares the topics. Where ctx ends meanwhile it returns ctx.Err() as it is: nothing went wrong.
func (d *declaration) Run(ctx context.Context) error {
	patience := resilience.New("broker", &resilience.Options{
		Timeout: brokerPatience,
		Retry:   resilience.RetryOptions{MaxAttempts: 1000, MaxBackoff: time.Second, MaxRatio: -1},
		Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
	})
	_, err := resilience.Do(ctx, patience, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.try(ctx)
	})
	switch {
	case err == nil && d.warned:
		d.p.Logger.InfoContext(ctx, "the broker is there")
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// try tries once, and logs the first failure whose reason is known: the last one is returned in the end.
func (d *declaration) try(ctx context.Context) error {
	err := d.declare(ctx)
	if err != nil && !errors.Is(err, nats.ErrDisconnected) && ctx.Err() == nil && !d.warned {
		d.warned = true
		d.p.Logger.WarnContext(ctx, "waiting for the broker", "patience", brokerPatience, "error", err)
	}
	return err
}

func (d *declaration) declare(ctx context.Context) error {
	if !d.p.nats.IsConnected() { // a request would only time out, and not say why
		if err := d.p.natsErr.Load(); err != nil {
			return *err
		}
		return nats.ErrDisconnected
	}
	return d.client.Declare(ctx, d.topics...)
}

// Subscription returns the options of the service's subscriptions.
func (p *Platform) Subscription() *pubsub.SubscriptionOptions {
	return &pubsub.SubscriptionOptions{Lease: p.Lease}
}
