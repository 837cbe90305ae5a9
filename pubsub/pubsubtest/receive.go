package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

var receiveTests = []test{
	{"GivesEachSubscriptionAll", givesEachSubscriptionAll},
	{"SharesOneSubscription", sharesOneSubscription},
	{"StartsWithTheSubscription", startsWithTheSubscription},
	{"GoesOnWhereItWas", goesOnWhereItWas},
	{"EndsWithItsContext", receiveEndsWithItsContext},
	{"EndsWithClose", receiveEndsWithClose},
	{"TakesAStrangersMessage", takesAStrangersMessage},
}

func givesEachSubscriptionAll(f *fixture) {
	a, b := f.subscribe("a"), f.subscribe("b")
	f.publish(message("1", ""), message("2", ""))
	for _, r := range []*receiver{a, b} {
		ds := r.receive(2)
		if got := ids(ds); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"1", "2"}) {
			f.Errorf("received %v, want 1 and 2", got)
		}
		r.ack(ds...)
	}
}

func sharesOneSubscription(f *fixture) {
	a, b := f.subscribeFor("shared", longLease), f.subscribeFor("shared", longLease)
	const n = 40
	for i := range n {
		f.publish(message(fmt.Sprintf("%02d", i), ""))
	}
	var got []string
	for len(got) < n {
		for _, r := range []*receiver{a, b} {
			ctx, cancel := context.WithTimeout(f.Context(), f.Lease/4)
			ds, err := r.sub.Receive(ctx, 4)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				f.Fatalf("Receive: %v", err)
			}
			got = append(got, ids(ds)...)
			r.ack(ds...)
		}
	}
	slices.Sort(got)
	if len(got) != n || len(slices.Compact(got)) != n {
		f.Errorf("received %v, want each of %d once", got, n)
	}
}

func startsWithTheSubscription(f *fixture) {
	f.publish(message("before", ""))
	r := f.subscribe("new")
	f.publish(message("after", ""))
	if got := ids(r.receive(1)); got[0] != "after" {
		f.Errorf("received %v, want what was published after Subscribe", got)
	}
}

func goesOnWhereItWas(f *fixture) {
	r := f.subscribe("durable")
	f.publish(message("1", ""))
	r.ack(r.receive(1)...)
	r.close()
	f.publish(message("2", ""))
	r = f.subscribe("durable")
	if got := ids(r.receive(1)); got[0] != "2" {
		f.Errorf("received %v, want 2, which was published while nobody received", got)
	}
}

func receiveEndsWithItsContext(f *fixture) {
	r := f.subscribe("one")
	r.receiveNone(50 * time.Millisecond)
	f.publish(message("1", ""))
	d := r.receive(1)[0]
	if d.Attempt > 1 {
		f.Errorf("Attempt = %d, want 1: the Receive that ended took nothing", d.Attempt)
	}
}

func receiveEndsWithClose(f *fixture) {
	r := f.subscribe("one")
	ended := make(chan error, 1)
	go func() {
		_, err := r.sub.Receive(f.Context(), 1)
		ended <- err
	}()
	// Whether Close comes before Receive or after, the outcome is the same.
	r.close()
	select {
	case err := <-ended:
		if !errors.Is(err, driver.ErrClosed) {
			f.Errorf("Receive = %v, want ErrClosed", err)
		}
	case <-time.After(patience):
		f.Error("Receive goes on after Close")
	}
}

func takesAStrangersMessage(f *fixture) {
	if f.Stranger == nil {
		f.Skip("the harness cannot publish past the driver")
	}
	r := f.subscribe("one")
	f.Stranger(f, f.topic, []byte("hello"))
	d := r.receive(1)[0]
	if string(d.Data) != "hello" || d.Position == "" || d.Attributes["ce-id"] != "" {
		f.Errorf("received %q at %q with attributes %v, want the bytes, a position and no ID",
			d.Data, d.Position, d.Attributes)
	}
	r.ack(d)
}
