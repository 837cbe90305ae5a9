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
	{name: "GivesEachSubscriptionAll", run: givesEachSubscriptionAll},
	{name: "SharesOneSubscription", run: sharesOneSubscription},
	{name: "StartsWithTheSubscription", run: startsWithTheSubscription},
	{name: "GoesOnWhereItWas", run: goesOnWhereItWas},
	{name: "EndsWithItsContext", run: receiveEndsWithItsContext},
	{name: "EndsWithClose", run: receiveEndsWithClose},
	{name: "TakesAStrangersMessage", needs: []ability{stranger}, run: takesAStrangersMessage},
	{name: "GoesOnWhenASiblingCloses", run: goesOnWhenASiblingCloses},
	{name: "ClosesTwice", run: closesTwice},
	{name: "SubscribeEndsWithItsContext", run: subscribeEndsWithItsContext},
	{name: "SaysWhenAndWhere", run: saysWhenAndWhere},
	{name: "TakesWhatArrivesMeanwhile", run: takesWhatArrivesMeanwhile},
	{name: "KeepsNamesApart", run: keepsNamesApart},
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
	r := f.subscribe("one")
	f.Stranger(f, f.topic, []byte("hello"))
	d := r.receive(1)[0]
	if string(d.Data) != "hello" || d.Position == "" || d.Attributes.Get("ce-id") != "" {
		f.Errorf("received %q at %q with attributes %v, want the bytes, a position and no ID",
			d.Data, d.Position, d.Attributes)
	}
	r.ack(d)
}

func goesOnWhenASiblingCloses(f *fixture) {
	a, b := f.subscribeFor("shared", longLease), f.subscribeFor("shared", longLease)
	a.close()
	const n = 10
	for i := range n {
		f.publish(message(fmt.Sprintf("%02d", i), ""))
	}
	if got := f.drain(n, b); len(got) != n {
		f.Errorf("received %v, want %d", got, n)
	}
}

func closesTwice(f *fixture) {
	r := f.subscribe("one")
	r.close()
	r.close()
	if _, err := r.sub.Receive(f.Context(), 1); !errors.Is(err, driver.ErrClosed) {
		f.Errorf("Receive after Close = %v, want ErrClosed", err)
	}
}

func subscribeEndsWithItsContext(f *fixture) {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	sub, err := f.broker.Subscribe(ctx, f.options(driver.SubscribeOptions{Name: "one"}))
	if err != nil {
		return
	}
	f.Error("Subscribe with an ended context = nil, want an error")
	if err := sub.Close(context.WithoutCancel(ctx)); err != nil {
		f.Errorf("Close: %v", err)
	}
}

func saysWhenAndWhere(f *fixture) {
	r := f.subscribe("one")
	began := time.Now()
	f.publish(message("1", ""), message("2", ""))
	ds := r.receive(2)
	if ds[0].Position == ds[1].Position {
		f.Errorf("both are at %q, want a place of its own for each", ds[0].Position)
	}
	for _, d := range ds {
		// The broker's clock may be another machine's.
		if off := d.Published.Sub(began).Abs(); !d.Published.IsZero() && off > 5*time.Minute {
			f.Errorf("Published = %v, which is off by %v; want when it was stored, or zero", d.Published, off)
		}
	}
	r.ack(ds...)
}

func takesWhatArrivesMeanwhile(f *fixture) {
	r := f.subscribeFor("one", longLease)
	const n = 60
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(f.Context(), patience)
		defer cancel()
		for i := range n {
			m := message(fmt.Sprintf("kk-%02d", i), "kk")
			if err := f.broker.Publish(ctx, f.topic, []driver.Message{m}); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	f.inOrder(f.drain(n, r))
	if err := <-ended; err != nil {
		f.Errorf("Publish: %v", err)
	}
}

// keepsNamesApart uses names that are the same to an adapter that is careless with what its broker does not take.
func keepsNamesApart(f *fixture) {
	rs := []*receiver{f.subscribe("a-b"), f.subscribe("a_b"), f.subscribe("A-B")}
	f.publish(message("1", ""))
	for _, r := range rs {
		r.receivesAll("1")
	}
}
