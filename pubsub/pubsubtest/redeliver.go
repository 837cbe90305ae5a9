package pubsubtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

var redeliverTests = []test{
	{name: "ReachesOneSubscriptionAlone", needs: []ability{redeliver}, run: redeliverReachesOneAlone},
	{name: "CarriesTheMessageAsItIs", needs: []ability{redeliver}, run: redeliverCarriesTheMessage},
	{name: "IsNoCopyOfTheOriginal", needs: []ability{redeliver}, run: redeliverIsNoCopy},
	{name: "WaitsForAReceiver", needs: []ability{redeliver}, run: redeliverWaitsForAReceiver},
	{name: "IsLeasedLikeAnyOther", needs: []ability{redeliver, lease}, run: redeliverIsLeased},
	{name: "TakesBatches", needs: []ability{redeliver}, run: redeliverTakesBatches},
	{name: "EndsWithItsContext", needs: []ability{redeliver}, run: redeliverEndsWithItsContext},
	{name: "KeepsItsDelay", needs: []ability{redeliver, delay}, run: redeliverKeepsItsDelay},
}

func (f *fixture) redeliver(name string, delay time.Duration, ms ...driver.Message) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	if err := as[driver.Redeliverer](f, f.broker).Redeliver(ctx, f.topic, name, ms, delay); err != nil {
		f.Fatalf("Redeliver: %v", err)
	}
}

func redeliverReachesOneAlone(f *fixture) {
	a, b := f.subscribe("a"), f.subscribe("b")
	f.redeliver("a", 0, message("1", "k"), message("2", ""))
	a.receivesAll("1", "2")
	b.receiveNone(f.Lease)
}

func redeliverCarriesTheMessage(f *fixture) {
	r := f.subscribe("one")
	m := message("1", "ключ")
	m.Data = []byte("\x00\xff\n")
	m.Attributes.Set("mainstay-attempts", "3")
	m.Attributes.Set("user", " Größe ")
	f.redeliver("one", 0, m)
	d := r.receive(1)[0]
	if string(d.Data) != string(m.Data) || !maps.Equal(d.Attributes.Map(), m.Attributes.Map()) || d.Position == "" {
		f.Errorf("received %q with %q at %q, want %q with %q at some place",
			d.Data, d.Attributes, d.Position, m.Data, m.Attributes)
	}
	r.ack(d)
}

func redeliverIsNoCopy(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""))
	r.receivesAll("1")
	for range 2 {
		f.redeliver("one", 0, message("1", ""))
		r.receivesAll("1")
	}
}

func redeliverWaitsForAReceiver(f *fixture) {
	f.subscribe("one").close()
	f.redeliver("one", 0, message("1", ""))
	f.subscribe("one").receivesAll("1")
}

func redeliverIsLeased(f *fixture) {
	r := f.subscribe("one")
	f.redeliver("one", 0, message("1", ""))
	first := r.receive(1)[0]
	f.release(r, 0, first)
	second := r.receive(1)[0]
	f.isNext(second, first, 2)
	third := r.receive(1)[0] // once the lease ended
	f.isNext(third, first, 3)
	r.ack(third)
	r.receiveNone(2 * f.Lease)
}

func redeliverTakesBatches(f *fixture) {
	r := f.subscribeFor("one", longLease)
	var ms []driver.Message
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("%02d", i))
		ms = append(ms, message(want[i], ""))
	}
	f.redeliver("one", 0, ms...)
	r.receivesAll(want...)
}

func redeliverEndsWithItsContext(f *fixture) {
	f.subscribe("one")
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	ms := []driver.Message{message("late", "")}
	if err := as[driver.Redeliverer](f, f.broker).Redeliver(ctx, f.topic, "one", ms, 0); err == nil {
		f.Error("Redeliver with an ended context = nil, want an error")
	}
}

func redeliverKeepsItsDelay(f *fixture) {
	r := f.subscribeFor("one", longLease)
	began := time.Now()
	f.redeliver("one", f.Lease, message("later", "k"))
	f.publish(message("now", "k"))
	ds := r.receive(2)
	if got := ids(ds); !slices.Equal(got, []string{"now", "later"}) {
		f.Errorf("received %v, want what is published meanwhile first", got)
	}
	if took := time.Since(began); took < f.Lease*9/10 {
		f.Errorf("came after %v, want about %v", took, f.Lease)
	}
	r.ack(ds...)
}
