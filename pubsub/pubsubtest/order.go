package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

var orderTests = []test{
	{name: "OtherKeysGoOn", run: otherKeysGoOn},
	{name: "ReleasedIsFirstOfItsKey", needs: []ability{order}, run: releasedIsFirstOfItsKey},
	{name: "OneReceiverHoldsAKey", needs: []ability{order}, run: oneReceiverHoldsAKey},
	{name: "GoesOnAcrossReceivers", needs: []ability{order}, run: goesOnAcrossReceivers},
	{name: "IsTakenOverFromAClosedReceiver", needs: []ability{order}, run: orderIsTakenOver},
}

func otherKeysGoOn(f *fixture) {
	r := f.subscribeFor("one", longLease)
	f.publish(message("a1", "a"))
	f.release(r, f.Lease/2, r.receive(1)...)
	f.publish(message("b1", "b"))
	ds := r.receive(2)
	if got := ids(ds); !slices.Equal(got, []string{"b1", "a1"}) {
		f.Errorf("received %v, want b1 while a1 waits for its time", got)
	}
	r.ack(ds...)
}

// ordered opens a receiver that asks for order across processes.
func (f *fixture) ordered(name string) *receiver {
	f.Helper()
	return f.open(driver.SubscribeOptions{Name: name, Lease: 4 * f.Lease, Ordered: true})
}

func releasedIsFirstOfItsKey(f *fixture) {
	r := f.ordered("one")
	f.publish(message("k1", "k"), message("k2", "k"), message("k3", "k"))
	ds := r.receive(1)
	f.release(r, 0, ds...)
	for want := range slices.Values([]string{"k1", "k2", "k3"}) {
		ds := r.receive(1)
		if got := ids(ds); got[0] != want {
			f.Fatalf("received %v, want %s", got, want)
		}
		r.ack(ds...)
	}
}

// spread publishes a few messages of each of many keys, so that every receiver may get some.
func (f *fixture) spread(perKey int) (n int) {
	f.Helper()
	const keys = 16
	for i := range perKey {
		var ms []driver.Message
		for k := range keys {
			ms = append(ms, message(fmt.Sprintf("%02d-%02d", k, i), fmt.Sprintf("%02d", k)))
		}
		f.publish(ms...)
	}
	return perKey * keys
}

func oneReceiverHoldsAKey(f *fixture) {
	a, b := f.ordered("shared"), f.ordered("shared")
	n, began := f.spread(4), time.Now()
	holder := map[string]*receiver{}
	var held []*driver.Delivery
	for idle := 0; len(held) < n && idle < 2; {
		before := len(held)
		for i, r := range []*receiver{a, b} {
			ds := r.some(3 + i) // out of step with the order in which the keys were published
			if time.Since(began) > 3*f.Lease {
				return // leases end soon: a slow machine shows no more than this
			}
			for _, id := range ids(ds) {
				if h := holder[id[:2]]; h != nil && h != r {
					f.Errorf("key %s is held by two receivers", id[:2])
				}
				holder[id[:2]] = r
			}
			held = append(held, ds...)
		}
		if len(held) == before {
			idle++
		}
	}
	if len(held) == 0 {
		f.Error("received nothing")
	}
}

// some returns what is there soon, at most n; it may be nothing.
func (r *receiver) some(n int) []*driver.Delivery {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), r.Lease/4)
	defer cancel()
	ds, err := r.sub.Receive(ctx, n)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.Fatalf("Receive: %v", err)
	}
	return ds
}

// drain receives by all of rs in turn, acknowledges, and returns the IDs in the order of their receipt.
func (f *fixture) drain(n int, rs ...*receiver) []string {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	var got []string
	for len(got) < n {
		if ctx.Err() != nil {
			f.Fatalf("received %d of %d messages: %v", len(got), n, got)
		}
		for _, r := range rs {
			ds := r.some(4)
			got = append(got, ids(ds)...)
			r.ack(ds...)
		}
	}
	return got
}

// inOrder checks that each key's messages, named by two bytes of key and a number, come in order and once.
func (f *fixture) inOrder(got []string) {
	f.Helper()
	last := map[string]string{}
	for _, id := range got {
		if id <= last[id[:2]] {
			f.Errorf("%s came after %s", id, last[id[:2]])
		}
		last[id[:2]] = id
	}
}

func goesOnAcrossReceivers(f *fixture) {
	a, b := f.ordered("shared"), f.ordered("shared")
	f.inOrder(f.drain(f.spread(5), a, b))
}

func orderIsTakenOver(f *fixture) {
	a := f.ordered("shared")
	n := f.spread(3)
	ds := a.receive(16)
	a.ack(ds[:4]...)
	b := f.ordered("shared")
	a.close()
	got := append(ids(ds[:4]), f.drain(n-4, b)...)
	f.inOrder(got)
}
