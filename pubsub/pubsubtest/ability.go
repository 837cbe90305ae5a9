package pubsubtest

import (
	"reflect"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
)

// Abilities says what a broker can do that others cannot. The suite holds an adapter to it both ways: one that lacks
// what it declares fails, and so does one that has what it does not declare.
type Abilities struct {
	Order     bool // keeps a key's order across receivers: Subscribe takes SubscribeOptions.Ordered
	Start     bool // a subscription may begin in the topic's past: Subscribe takes SubscribeOptions.Start
	Redeliver bool // driver.Redeliverer
	Delay     bool // Redeliver keeps its delay by itself
	Browse    bool // driver.Browser; a dead-letter topic keeps what nobody subscribes to
	Seek      bool // driver.Seeker
	Lag       bool // subscriptions are driver.Laggers
}

// ability is a name in the table of a run.
type ability string

const (
	order     ability = "Order"
	start     ability = "Start"
	redeliver ability = "Redeliver"
	delay     ability = "Delay"
	browse    ability = "Browse"
	seek      ability = "Seek"
	lag       ability = "Lag"
	// What the harness can do.
	stranger ability = "Stranger"
	restart  ability = "Restart"
	outage   ability = "Outage"
	limit    ability = "MaxBytes"
	lease    ability = "Lease"
)

// has says what the harness declares.
func (h Harness) has(a ability) bool {
	return map[ability]bool{
		order: h.Abilities.Order, start: h.Abilities.Start, redeliver: h.Abilities.Redeliver, delay: h.Abilities.Delay,
		browse: h.Abilities.Browse, seek: h.Abilities.Seek, lag: h.Abilities.Lag,
		stranger: h.Stranger != nil, restart: h.Restart != nil, outage: h.Outage != nil, limit: h.MaxBytes != 0,
		lease: !h.NoLease,
	}[a]
}

var abilityTests = []test{
	{name: "OrderIsAsDeclared", run: orderIsAsDeclared},
	{name: "StartIsAsDeclared", run: startIsAsDeclared},
	{name: "RedeliverIsAsDeclared", run: func(f *fixture) {
		_, ok := f.broker.(driver.Redeliverer)
		f.declared(redeliver, ok)
	}},
	{name: "DelayIsAsDeclared", needs: []ability{redeliver}, run: delayIsAsDeclared},
	{name: "BrowseIsAsDeclared", run: func(f *fixture) {
		_, ok := f.broker.(driver.Browser)
		f.declared(browse, ok)
	}},
	{name: "SeekIsAsDeclared", run: func(f *fixture) {
		_, ok := f.broker.(driver.Seeker)
		f.declared(seek, ok)
	}},
	{name: "LagIsAsDeclared", run: func(f *fixture) {
		_, ok := f.subscribe("one").sub.(driver.Lagger)
		f.declared(lag, ok)
	}},
}

func (f *fixture) declared(a ability, has bool) {
	f.Helper()
	if has != f.has(a) {
		f.Errorf("the adapter has %s: %v, the harness declares %v", a, has, f.has(a))
	}
}

// as returns what was declared.
func as[T any](f *fixture, v any) T {
	f.Helper()
	t, ok := v.(T)
	if !ok {
		f.Fatalf("%T is no %v", v, reflect.TypeFor[T]())
	}
	return t
}

// accepts reports whether Subscribe takes o, and checks that it refuses in the way that package driver says.
func (f *fixture) accepts(o driver.SubscribeOptions) bool {
	f.Helper()
	sub, err := f.broker.Subscribe(f.Context(), f.options(o))
	switch {
	case err == nil:
		(&receiver{fixture: f, sub: sub}).close()
		return true
	case !unsupported(err) || !resilience.IsPermanent(err):
		f.Errorf("Subscribe = %v, want a permanent error that matches ErrUnordered or errors.ErrUnsupported", err)
	}
	return false
}

func orderIsAsDeclared(f *fixture) {
	f.declared(order, f.accepts(driver.SubscribeOptions{Name: "one", Ordered: true}))
}

func startIsAsDeclared(f *fixture) {
	f.declared(start, f.accepts(driver.SubscribeOptions{Name: "one", Start: driver.Start{Earliest: true}}))
	at := driver.Start{Time: time.Now().Add(-time.Hour)}
	f.declared(start, f.accepts(driver.SubscribeOptions{Name: "two", Start: at}))
}

func delayIsAsDeclared(f *fixture) {
	r := f.subscribeFor("one", longLease)
	began := time.Now()
	f.redeliver("one", 5*f.Lease, message("1", ""))
	r.receivesAll("1")
	f.declared(delay, time.Since(began) >= 4*f.Lease)
}
