package demo

import (
	"bytes"
	"context"
	"flag"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

// Mallory is the customer whose orders reach inventory with a body that nobody can read.
const Mallory = "mallory"

// Faults are what a child process does to its own deliveries.
type Faults struct {
	duplicate float64
	poison    string
}

// Flags adds the flags by which the demo passes its faults to a child.
func (f *Faults) Flags(fs *flag.FlagSet) {
	fs.Float64Var(&f.duplicate, "duplicate", 0, "demo: share of deliveries that come twice, 0 to 1")
	fs.StringVar(&f.poison, "poison", "", "demo: customer whose "+contract.OrderCreated.Name()+" events arrive unreadable")
}

// Wrap returns b with the faults put in.
func (f *Faults) Wrap(b driver.Broker) driver.Broker {
	if f.poison != "" {
		b = &poisoned{Broker: b, mark: []byte(`"customer_id":"` + f.poison + `"`)}
	}
	if f.duplicate > 0 {
		b = pubsubtest.NewFaulty(b, pubsubtest.FaultOptions{DuplicateRatio: f.duplicate})
	}
	return b
}

// poisoned is a broker that spoils every delivery of order.created whose body holds mark. What it spoils depends on
// the body alone, so that every copy, before a restart and after, is spoilt alike.
type poisoned struct {
	driver.Broker
	mark []byte
}

// Subscribe opens the subscription of the broker within.
func (p *poisoned) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	s, err := p.Broker.Subscribe(ctx, o)
	if err != nil || o.Topic != contract.OrderCreated.Name() {
		return s, err
	}
	return &poisonedSubscription{Subscription: s, mark: p.mark}, nil
}

type poisonedSubscription struct {
	driver.Subscription
	mark []byte
}

// Receive receives from the subscription within, and spoils.
func (s *poisonedSubscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	ds, err := s.Subscription.Receive(ctx, n)
	for _, d := range ds {
		if bytes.Contains(d.Data, s.mark) {
			d.Data = []byte("\x00 not JSON")
		}
	}
	return ds, err
}

// Declare declares topics on the broker within.
func (p *poisoned) Declare(ctx context.Context, topics []string) error {
	if d, ok := p.Broker.(driver.Declarer); ok {
		return d.Declare(ctx, topics)
	}
	return nil
}

// Ping pings the broker within.
func (p *poisoned) Ping(ctx context.Context) error {
	if q, ok := p.Broker.(driver.Pinger); ok {
		return q.Ping(ctx)
	}
	return nil
}

// System names the broker within.
func (p *poisoned) System() string {
	if s, ok := p.Broker.(driver.System); ok {
		return s.System()
	}
	return ""
}
