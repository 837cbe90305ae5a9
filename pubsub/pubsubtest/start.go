package pubsubtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

var startTests = []test{
	{name: "AtTheEarliest", needs: []ability{start}, run: startsAtTheEarliest},
	{name: "AtATime", needs: []ability{start}, run: startsAtATime},
	{name: "SaysNothingToOneThatExists", needs: []ability{start}, run: startSaysNothingToOneThatExists},
}

var seekTests = []test{
	{name: "ReplaysTheTopic", needs: []ability{seek}, run: seekReplays},
	{name: "GoesToATime", needs: []ability{seek}, run: seekGoesToATime},
	{name: "SkipsToTheEnd", needs: []ability{seek}, run: seekSkips},
	{name: "LeavesSiblingsAlone", needs: []ability{seek}, run: seekLeavesSiblingsAlone},
}

func startsAtTheEarliest(f *fixture) {
	f.publish(message("1", ""), message("2", ""))
	r := f.open(driver.SubscribeOptions{Name: "late", Start: driver.Start{Earliest: true}})
	f.publish(message("3", ""))
	r.receivesAll("1", "2", "3")
}

// receivesAll receives and acknowledges as many as there are in want, which come in any order.
func (r *receiver) receivesAll(want ...string) {
	r.Helper()
	ds := r.receive(len(want))
	if got := slices.Sorted(slices.Values(ids(ds))); !slices.Equal(got, want) {
		r.Errorf("received %v, want %v", got, want)
	}
	r.ack(ds...)
}

// between publishes "1" and later "2", and returns a time between the two by the broker's clock.
func (f *fixture) between() time.Time {
	f.Helper()
	witness := f.subscribe("witness")
	f.publish(message("1", ""))
	first := witness.receive(1)[0]
	witness.ack(first)
	<-time.After(200 * time.Millisecond) // brokers keep milliseconds
	f.publish(message("2", ""))
	second := witness.receive(1)[0]
	witness.ack(second)
	witness.close()
	if first.Published.IsZero() || !second.Published.After(first.Published) {
		f.Fatalf("published at %v and %v, want the times at which the broker stored them", first.Published, second.Published)
	}
	return second.Published.Add(-50 * time.Millisecond)
}

func startsAtATime(f *fixture) {
	r := f.open(driver.SubscribeOptions{Name: "late", Start: driver.Start{Time: f.between()}})
	f.publish(message("3", ""))
	r.receivesAll("2", "3")
}

func startSaysNothingToOneThatExists(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""))
	r.ack(r.receive(1)...)
	r.close()
	r = f.open(driver.SubscribeOptions{Name: "one", Start: driver.Start{Earliest: true}})
	f.publish(message("2", ""))
	r.receivesAll("2")
}

// seek moves the subscription name, which nobody receives from.
func (f *fixture) seek(name string, to driver.Start) *receiver {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	if err := as[driver.Seeker](f, f.broker).Seek(ctx, f.topic, name, to); err != nil {
		f.Fatalf("Seek(%+v): %v", to, err)
	}
	return f.subscribe(name)
}

func seekReplays(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""), message("2", ""))
	r.receivesAll("1", "2")
	r.close()
	f.seek("one", driver.Start{Earliest: true}).receivesAll("1", "2")
}

func seekGoesToATime(f *fixture) {
	f.subscribe("one").close()
	f.seek("one", driver.Start{Time: f.between()}).receivesAll("2")
}

func seekSkips(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""), message("2", ""))
	r.close()
	r = f.seek("one", driver.Start{})
	f.publish(message("3", ""))
	r.receivesAll("3")
}

func seekLeavesSiblingsAlone(f *fixture) {
	a, b := f.subscribe("a"), f.subscribe("b")
	f.publish(message("1", ""))
	a.receivesAll("1")
	b.receivesAll("1")
	a.close()
	f.seek("a", driver.Start{Earliest: true}).receivesAll("1")
	b.receiveNone(f.Lease)
}

// unsupported reports whether err says that the broker lacks what was asked.
func unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, driver.ErrUnordered)
}
