package pubsubtest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

// able is a broker with every ability.
type able interface {
	driver.Broker
	driver.Redeliverer
	driver.Browser
	driver.Seeker
}

// honest takes everything from the broker in memory.
func honest() able { return &mempubsub.Broker{} }

var all = pubsubtest.Abilities{
	Order: true, Start: true, Redeliver: true, Delay: true, Browse: true, Seek: true, Lag: true,
}

// without returns all abilities but what change takes.
func without(change func(*pubsubtest.Abilities)) pubsubtest.Abilities {
	a := all
	change(&a)
	return a
}

// twisted is a broker with one thing wrong.
type twisted struct {
	able
	publish   func(ms []driver.Message) []driver.Message
	subscribe func(driver.SubscribeOptions) driver.SubscribeOptions
	redeliver func(driver.Broker, string, string, []driver.Message, time.Duration) error
	remove    bool
	wrap      func(driver.Subscription) driver.Subscription
}

func (w twisted) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	if w.publish != nil {
		ms = w.publish(ms)
	}
	return w.able.Publish(ctx, topic, ms)
}

func (w twisted) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	if w.subscribe != nil {
		o = w.subscribe(o)
	}
	s, err := w.able.Subscribe(ctx, o)
	if err == nil && w.wrap != nil {
		s = w.wrap(s)
	}
	return s, err
}

func (w twisted) Redeliver(ctx context.Context, topic, name string, ms []driver.Message, d time.Duration) error {
	if w.redeliver != nil {
		return w.redeliver(w.able, topic, name, ms, d)
	}
	return w.able.Redeliver(ctx, topic, name, ms, d)
}

func (w twisted) Remove(ctx context.Context, topic string, ds []*driver.Delivery) error {
	if w.remove {
		return nil
	}
	return w.able.Remove(ctx, topic, ds)
}

// deaf is a subscription without Lag, whose acknowledgements get lost if it is forgetful.
type deaf struct {
	driver.Subscription
	forgetful bool
}

func (s deaf) Ack(ctx context.Context, ds []*driver.Delivery) error {
	if s.forgetful {
		return nil
	}
	return s.Subscription.Ack(ctx, ds)
}

type liar struct {
	abilities pubsubtest.Abilities
	broker    func() driver.Broker
	fails     string // one of the cases that must
}

var liars = map[string]liar{
	"declares what it lacks": {
		all, func() driver.Broker { return struct{ driver.Broker }{honest()} }, "Abilities/SeekIsAsDeclared",
	},
	"hides what it has": {
		without(func(a *pubsubtest.Abilities) { a.Browse = false }), func() driver.Broker { return honest() },
		"Abilities/BrowseIsAsDeclared",
	},
	"hides that it keeps order": {
		without(func(a *pubsubtest.Abilities) { a.Order = false }), func() driver.Broker { return honest() },
		"Abilities/OrderIsAsDeclared",
	},
	"hides that it waits": {
		without(func(a *pubsubtest.Abilities) { a.Delay = false }), func() driver.Broker { return honest() },
		"Abilities/DelayIsAsDeclared",
	},
	"has no lag": {all, func() driver.Broker {
		return twisted{able: honest(), wrap: func(s driver.Subscription) driver.Subscription { return deaf{s, false} }}
	}, "Abilities/LagIsAsDeclared"},
	"forgets acknowledgements": {
		without(func(a *pubsubtest.Abilities) { a.Lag = false }), func() driver.Broker {
			return twisted{able: honest(), wrap: func(s driver.Subscription) driver.Subscription { return deaf{s, true} }}
		}, "Lease/AcknowledgedNeverComesBack",
	},
	"forgets where to start": {all, func() driver.Broker {
		return twisted{able: honest(), subscribe: func(o driver.SubscribeOptions) driver.SubscribeOptions {
			o.Start = driver.Start{}
			return o
		}}
	}, "Start/AtTheEarliest"},
	"loses keys": {all, func() driver.Broker {
		return twisted{able: honest(), publish: func(ms []driver.Message) []driver.Message {
			ms = slices.Clone(ms)
			for i := range ms {
				ms[i].Key = ""
			}
			return ms
		}}
	}, "Order/OneReceiverHoldsAKey"},
	"redelivers to all": {all, func() driver.Broker {
		return twisted{able: honest(), redeliver: func(
			b driver.Broker, topic, _ string, ms []driver.Message, _ time.Duration,
		) error {
			return b.Publish(context.Background(), topic, ms)
		}}
	}, "Redeliver/ReachesOneSubscriptionAlone"},
	"removes nothing": {
		all, func() driver.Broker { return twisted{able: honest(), remove: true} }, "Browse/RemovedIsGone",
	},
}

const liarVar = "MAINSTAY_PUBSUBTEST_LIAR"

// TestLiar is what TestSuiteFindsLiars runs in a process of its own, because it fails.
func TestLiar(t *testing.T) {
	l, ok := liars[os.Getenv(liarVar)]
	if !ok {
		t.Skip("not asked for")
	}
	pubsubtest.Run(t, pubsubtest.Harness{
		InProcess: true, Adapter: "liar", Abilities: l.abilities,
		Broker: func(testing.TB) driver.Broker { return l.broker() },
	})
}

func TestSuiteFindsLiars(t *testing.T) {
	for name, l := range liars {
		t.Run(name, func(t *testing.T) {
			group, _, _ := strings.Cut(l.fails, "/")
			cmd := exec.CommandContext(t.Context(), os.Args[0],
				"-test.v", "-test.timeout=2m", "-test.run=^TestLiar$/^"+group+"$")
			cmd.Env = append(os.Environ(), liarVar+"="+name)
			output, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("the suite passed:\n%s", output)
			}
			failed, err := pubsubtest.WriteTable(io.Discard, strings.NewReader(string(output)))
			if err != nil || !slices.Contains(failed, "liar: "+l.fails) {
				t.Errorf("failed are %q, %v, want %s among them:\n%s", failed, err, l.fails, output)
			}
		})
	}
}

// TestSuiteSaysWhatIsNotAble: what an adapter lacks is in the table, never left out of it.
func TestSuiteSaysWhatIsNotAble(t *testing.T) {
	bare := func(testing.TB) driver.Broker {
		return plain{&mempubsub.Broker{}}
	}
	if !t.Run("Bare", func(t *testing.T) {
		pubsubtest.Run(t, pubsubtest.Harness{InProcess: true, Broker: bare})
	}) {
		t.Error("a broker that declares no ability and has none failed")
	}
}

// plain is a broker without any ability, which says so.
type plain struct{ b driver.Broker }

func (w plain) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	return w.b.Publish(ctx, topic, ms)
}

func (w plain) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	if o.Ordered || o.Start != (driver.Start{}) {
		return nil, refusal{}
	}
	s, err := w.b.Subscribe(ctx, o)
	return deaf{s, false}, err
}

// refusal is permanent.
type refusal struct{}

func (refusal) Error() string   { return "not here" }
func (refusal) Unwrap() []error { return []error{driver.ErrUnordered, errors.ErrUnsupported} }
func (refusal) Retryable() bool { return false }
