package pubsubtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Harness says how to reach the broker under test, and what it can do.
type Harness struct {
	// Broker returns the broker. Every test calls it once, and uses topics of its own, so that one broker may serve all,
	// unless InProcess is set. Required.
	Broker func(t testing.TB) driver.Broker
	// Adapter names the adapter in the table of cases. Empty means the name of the test that calls Run.
	Adapter string
	// Abilities says what the broker can do that others cannot.
	Abilities Abilities
	// Lease is a lease that the broker keeps exactly enough to be tested. Zero means 1s.
	Lease time.Duration
	// NoLease says that the broker hands out whole partitions, not single messages for a time: what a receiver took, or
	// gave back, stays with it until the partition leaves. That leaves out the cases of leases.
	NoLease bool
	// InProcess says that the broker lives in this process alone, without a connection or a file. Each test then runs
	// in a synctest bubble, one after the other, and takes no time, however slow the machine; Broker is called in it.
	InProcess bool
	// Stranger publishes data to topic by the broker's own means, without any attribute. Nil leaves those cases out.
	Stranger func(t testing.TB, topic string, data []byte)
	// Restart ends the broker and starts it again with what it had stored. Nil leaves those cases out.
	Restart func(t testing.TB)
	// Outage makes the broker unreachable until end is called. Nil leaves those cases out.
	Outage func(t testing.TB) (end func())
	// MaxBytes is more than any message may have. Zero, for a broker without a limit, leaves those cases out.
	MaxBytes int
}

// Run tests that a broker keeps the contract of package driver, and that package pubsub on top of it keeps its own.
//
// Every case runs or is reported as what the adapter is not able to do: it is skipped as "not able: ABILITY". At the
// end Run writes a line for each case to the test's output, which [WriteTable] makes a table of: "conformance", the
// adapter, the case, and "pass", "fail", "skipped" or "not able: ABILITY", separated by tabs.
func Run(t *testing.T, h Harness) {
	if h.Lease == 0 {
		h.Lease = time.Second
	}
	if h.Adapter == "" {
		h.Adapter = t.Name()
	}
	var r record
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) { h.test(t, &r, g, c) })
			}
		})
	}
	r.write(t, h.Adapter)
}

// test runs one case by the clock that h asks for.
func (h Harness) test(t *testing.T, r *record, g group, c test) {
	name := g.name + "/" + c.name
	for _, a := range c.needs {
		if !h.has(a) {
			r.note(name, fmt.Sprintf("not able: %s", a))
			t.Skipf("not able: %s", a)
		}
	}
	t.Cleanup(func() { r.note(name, outcome(t)) })
	switch {
	case h.InProcess:
		synctest.Test(t, func(t *testing.T) { c.run(newFixture(t, h)) })
		return
	case !g.alone:
		t.Parallel()
	}
	c.run(newFixture(t, h))
}

// group is a list of cases.
type group struct {
	name  string
	tests []test
	alone bool // they disturb every other
}

var groups = []group{
	{name: "Abilities", tests: abilityTests},
	{name: "Publish", tests: publishTests},
	{name: "Receive", tests: receiveTests},
	{name: "Lease", tests: leaseTests},
	{name: "Order", tests: orderTests},
	{name: "Start", tests: startTests},
	{name: "Seek", tests: seekTests},
	{name: "Redeliver", tests: redeliverTests},
	{name: "Browse", tests: browseTests},
	{name: "Lag", tests: lagTests},
	{name: "Client", tests: clientTests},
	{name: "Restart", tests: restartTests, alone: true},
	{name: "Outage", tests: outageTests, alone: true},
}

// test is one case.
type test struct {
	name  string
	needs []ability
	run   func(*fixture)
}

const (
	// patience bounds the wait for what has to happen.
	patience = 30 * time.Second
	// longLease is one that does not end while anybody is patient: what comes back under it was given back.
	longLease = 4 * patience
)

// fixture is one test's broker and topic.
type fixture struct {
	testing.TB
	Harness
	broker driver.Broker
	topic  string
}

func newFixture(t testing.TB, h Harness) *fixture {
	f := &fixture{TB: t, Harness: h, broker: h.Broker(t), topic: "conformance." + strings.ToLower(rand.Text())}
	f.declare(f.topic)
	return f
}

func (f *fixture) declare(topics ...string) {
	f.Helper()
	if d, ok := f.broker.(driver.Declarer); ok {
		if err := d.Declare(f.Context(), topics); err != nil {
			f.Fatalf("Declare(%q): %v", topics, err)
		}
	}
}

// receiver is one open subscription and the test that reads from it.
type receiver struct {
	*fixture
	sub driver.Subscription
}

func (f *fixture) subscribe(name string) *receiver {
	f.Helper()
	return f.subscribeFor(name, f.Lease)
}

func (f *fixture) subscribeFor(name string, lease time.Duration) *receiver {
	f.Helper()
	return f.open(driver.SubscribeOptions{Name: name, Lease: lease})
}

// options fills in what every subscription has.
func (f *fixture) options(o driver.SubscribeOptions) driver.SubscribeOptions {
	o.Topic, o.MaxInFlight = f.topic, 1000
	o.Lease = cmp.Or(o.Lease, f.Lease)
	o.DeadLetter = cmp.Or(o.DeadLetter, f.topic+".dead-letter."+o.Name)
	o.Revoke = func([]*driver.Delivery) {}
	return o
}

func (f *fixture) open(o driver.SubscribeOptions) *receiver {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	sub, err := f.broker.Subscribe(ctx, f.options(o))
	if err != nil {
		f.Fatalf("Subscribe(%q, %q): %v", f.topic, o.Name, err)
	}
	r := &receiver{fixture: f, sub: sub}
	f.Cleanup(func() { r.close() })
	return r
}

func (r *receiver) close() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.sub.Close(ctx); err != nil {
		r.Errorf("Close: %v", err)
	}
}

func (f *fixture) publish(ms ...driver.Message) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	if err := f.broker.Publish(ctx, f.topic, ms); err != nil {
		f.Fatalf("Publish: %v", err)
	}
}

// message returns a message in the envelope that package pubsub gives it.
func message(id, key string) driver.Message {
	attrs := map[string]string{"ce-specversion": "1.0", "ce-id": id, "ce-source": "/conformance", "ce-type": "test"}
	if key != "" {
		attrs["ce-partitionkey"] = key
	}
	return driver.Message{ID: id, Key: key, Attributes: driver.AttributesOf(attrs), Data: []byte(id)}
}

// receive returns the next n deliveries.
func (r *receiver) receive(n int) []*driver.Delivery {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var got []*driver.Delivery
	for len(got) < n {
		ds, err := r.sub.Receive(ctx, n-len(got))
		if err != nil {
			r.Fatalf("Receive after %d of %d: %v", len(got), n, err)
		}
		if len(ds) == 0 || len(ds) > n-len(got) {
			r.Fatalf("Receive(%d) returned %d deliveries, want 1 to %[1]d", n-len(got), len(ds))
		}
		got = append(got, ds...)
	}
	return got
}

// receiveNone fails when anything arrives within d.
func (r *receiver) receiveNone(d time.Duration) {
	r.Helper()
	if ds := r.receiveFor(d); len(ds) > 0 {
		r.Fatalf("received %v, want nothing for %v", ids(ds), d)
	}
}

// receiveFor returns what arrives first within d, nothing where nothing does.
func (r *receiver) receiveFor(d time.Duration) []*driver.Delivery {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	ds, err := r.sub.Receive(ctx, 1)
	if err == nil && len(ds) > 0 {
		return ds
	}
	if !errors.Is(err, context.DeadlineExceeded) || len(ds) > 0 {
		r.Fatalf("Receive = %v, %v, want nothing until the context's deadline", ids(ds), err)
	}
	return nil
}

func (r *receiver) ack(ds ...*driver.Delivery) {
	r.Helper()
	if err := r.sub.Ack(r.Context(), ds); err != nil {
		r.Fatalf("Ack: %v", err)
	}
}

func ids(ds []*driver.Delivery) []string {
	s := make([]string, len(ds))
	for i, d := range ds {
		s[i] = string(d.Data)
	}
	return s
}
