package pubsubtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

var browseTests = []test{
	{name: "ShowsWithoutConsuming", needs: []ability{browse}, run: browseShows},
	{name: "GoesPageByPage", needs: []ability{browse}, run: browseGoesPageByPage},
	{name: "EndsWhereThereIsNothing", needs: []ability{browse}, run: browseEnds},
	{name: "RemovedIsGone", needs: []ability{browse}, run: removedIsGone},
	{name: "RemovesFromTheMiddle", needs: []ability{browse}, run: removesFromTheMiddle},
}

var lagTests = []test{
	{name: "CountsWhatIsNotAcknowledged", needs: []ability{lag}, run: lagCounts},
	{name: "SaysSinceWhen", needs: []ability{lag}, run: lagSaysSinceWhen},
}

// grave opens a subscription whose dead letters are kept, and publishes some, which nobody subscribes to.
func (f *fixture) grave(n int) (topic string, want []string) {
	f.Helper()
	topic = f.topic + ".dead-letter.one"
	f.declare(topic)
	f.open(driver.SubscribeOptions{Name: "one", DeadLetter: topic})
	for i := range n {
		want = append(want, fmt.Sprintf("%02d", i))
		ctx, cancel := context.WithTimeout(f.Context(), patience)
		err := f.broker.Publish(ctx, topic, []driver.Message{message(want[i], "")})
		cancel()
		if err != nil {
			f.Fatalf("Publish: %v", err)
		}
	}
	return topic, want
}

// browse returns all that topic has, at most page at a time.
func (f *fixture) browse(topic string, page int) []*driver.Delivery {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	var all []*driver.Delivery
	for cursor := ""; ; {
		ds, next, err := as[driver.Browser](f, f.broker).Browse(ctx, topic, cursor, page)
		if err != nil || len(ds) > page {
			f.Fatalf("Browse(%q, %d) = %d deliveries, %v", cursor, page, len(ds), err)
		}
		if len(ds) == 0 {
			return all
		}
		all, cursor = append(all, ds...), next
	}
}

func (f *fixture) remove(topic string, ds ...*driver.Delivery) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	if err := as[driver.Browser](f, f.broker).Remove(ctx, topic, ds); err != nil {
		f.Fatalf("Remove: %v", err)
	}
}

// shows checks that topic has want, whatever the order.
func (f *fixture) shows(topic string, page int, want []string) []*driver.Delivery {
	f.Helper()
	ds := f.browse(topic, page)
	if got := slices.Sorted(slices.Values(ids(ds))); !slices.Equal(got, want) {
		f.Errorf("browsed %v, want %v", got, want)
	}
	return ds
}

func browseShows(f *fixture) {
	topic, want := f.grave(3)
	for range 2 {
		for _, d := range f.shows(topic, 10, want) {
			if d.Position == "" || d.Attributes.Get("ce-id") != string(d.Data) {
				f.Errorf("browsed %q at %q with attributes %v, want the message as it was published",
					d.Data, d.Position, d.Attributes)
			}
		}
	}
}

func browseGoesPageByPage(f *fixture) {
	topic, want := f.grave(25)
	f.shows(topic, 7, want)
	f.shows(topic, 1, want)
}

func browseEnds(f *fixture) {
	topic, _ := f.grave(0)
	f.shows(topic, 5, nil)
}

func removedIsGone(f *fixture) {
	topic, want := f.grave(4)
	ds := f.shows(topic, 10, want)
	f.remove(topic, ds...)
	f.remove(topic, ds...) // which are gone already
	f.shows(topic, 10, nil)
}

func removesFromTheMiddle(f *fixture) {
	topic, want := f.grave(6)
	var left []string
	for i, d := range f.browse(topic, 10) {
		if i%2 == 0 {
			f.remove(topic, d)
		} else {
			left = append(left, string(d.Data))
		}
	}
	if len(left) != len(want)/2 {
		f.Fatalf("%d letters were left out of %d", len(left), len(want))
	}
	slices.Sort(left)
	f.shows(topic, 2, left)
}

// becomes waits until the lag is of n messages: brokers count about.
func (r *receiver) becomes(n int64) driver.Lag {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	for {
		l, err := as[driver.Lagger](r.fixture, r.sub).Lag(ctx)
		if err != nil {
			r.Fatalf("Lag: %v, after %+v", err, l)
		}
		if l.Messages == n {
			return l
		}
		select {
		case <-ctx.Done():
			r.Fatalf("Lag = %+v, want %d messages", l, n)
		case <-time.After(r.Lease / 10):
		}
	}
}

func lagCounts(f *fixture) {
	r := f.subscribeFor("one", longLease)
	r.becomes(0)
	f.publish(message("1", ""), message("2", ""), message("3", ""))
	r.becomes(3)
	ds := r.receive(3)
	r.becomes(3)
	r.ack(ds...)
	r.becomes(0)
}

func lagSaysSinceWhen(f *fixture) {
	r := f.subscribeFor("one", longLease)
	f.publish(message("1", ""))
	d := r.receive(1)[0]
	if l := r.becomes(1); !l.Oldest.IsZero() && l.Oldest.Sub(d.Published).Abs() > time.Second {
		f.Errorf("Oldest = %v, want %v, or zero from a broker that does not say", l.Oldest, d.Published)
	}
	r.ack(d)
	if l := r.becomes(0); !l.Oldest.IsZero() {
		f.Errorf("Oldest = %v with nothing to do, want zero", l.Oldest)
	}
}
