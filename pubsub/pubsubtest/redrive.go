package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// dead subscribes "one", whose handler fails for good until mend is called and then notes what it handles, publishes
// ids, and waits until they are dead.
func (f *fixture) dead(c *pubsub.Client, ids ...string) (topic string, mend func(), handled *journal) {
	f.Helper()
	topic = f.topic + ".dead-letter.one"
	f.declare(topic)
	var mended atomic.Bool
	handled = newJournal()
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		if !mended.Load() {
			return resilience.Permanent(errors.New("boom"))
		}
		handled.note(fmt.Sprint(m.ID, " ", m.Attempt))
		return nil
	}, &pubsub.SubscriptionOptions{Lease: f.Lease, Concurrency: 1}))
	for _, id := range ids {
		f.send(c, &pubsub.Message{ID: id, Key: "k", Data: []byte("body")})
	}
	f.eventually(func(ctx context.Context) error {
		if ms, err := pubsub.Peek(ctx, c, topic, 100); err != nil || len(ms) < len(ids) {
			return fmt.Errorf("%d letters, want %d: %w", len(ms), len(ids), err)
		}
		return nil
	})
	return topic, func() { mended.Store(true) }, handled
}

func clientPeeks(f *fixture) {
	c := f.client()
	topic, _, _ := f.dead(c, "1", "2")
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	for range 2 {
		ms, err := pubsub.Peek(ctx, c, topic, 10)
		if err != nil || len(ms) != 2 {
			f.Fatalf("Peek = %d messages, %v, want 2 each time", len(ms), err)
		}
		for _, m := range ms {
			if m.DeadLetter == nil || m.DeadLetter.Error != "boom" || m.DeadLetter.Topic != f.topic || string(m.Data) != "body" {
				f.Errorf("peeked %+v with %+v, want the message and where and why it died", m, m.DeadLetter)
			}
		}
	}
}

func clientRedrives(f *fixture) {
	c := f.client()
	sibling := f.subscribe("sibling")
	topic, mend, handled := f.dead(c, "1", "2", "3")
	sibling.ack(sibling.receive(3)...)
	mend()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	got, err := pubsub.Redrive(ctx, c, topic, &pubsub.RedriveOptions{
		Filter: func(m *pubsub.Message) bool { return m.ID != "2" },
	})
	if err != nil || *got != (pubsub.RedriveResult{Seen: 3, Redriven: 2, Filtered: 1}) {
		f.Errorf("Redrive = %+v, %v, want two of three put back", got, err)
	}
	if got := handled.wait(f, 2); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"1 1", "3 1"}) {
		f.Errorf("handled %q, want 1 and 3 at attempt 1", got)
	}
	if ms, err := pubsub.Peek(ctx, c, topic, 10); err != nil || len(ms) != 1 || ms[0].ID != "2" {
		f.Errorf("Peek = %d letters, %v, want the one that was filtered", len(ms), err)
	}
	sibling.receiveNone(f.Lease)
}

func countsAttempts(f *fixture) {
	c, j := f.client(), newJournal()
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		j.note(fmt.Sprint(m.ID, " ", m.Attempt))
		if m.Attempt < 4 {
			return errors.New("not yet")
		}
		return nil
	}, &pubsub.SubscriptionOptions{Lease: longLease, Retry: pubsub.Retry{MinBackoff: time.Millisecond}}))
	f.send(c, &pubsub.Message{ID: "m"})
	if got, want := j.wait(f, 4), []string{"m 1", "m 2", "m 3", "m 4"}; !slices.Equal(got, want) {
		f.Errorf("attempts %q, want %q", got, want)
	}
}

// buried subscribes to the dead letters of "one" and notes what arrives.
func (f *fixture) buried(c *pubsub.Client) *journal {
	f.Helper()
	letters := newJournal()
	topic := f.topic + ".dead-letter.one"
	f.declare(topic)
	f.start(c.Subscribe(topic, "reader", func(_ context.Context, m *pubsub.Message) error {
		letters.note(fmt.Sprintf("%s %q %s %d", m.ID, m.Data, m.DeadLetter.Reason, m.DeadLetter.Attempts))
		return nil
	}, nil))
	return letters
}

func permanentErrorsDieAtOnce(f *fixture) {
	c := f.client()
	letters := f.buried(c)
	f.start(c.Subscribe(f.topic, "one", func(context.Context, *pubsub.Message) error {
		return resilience.Permanent(errors.New("never"))
	}, &pubsub.SubscriptionOptions{Lease: longLease}))
	f.send(c, &pubsub.Message{ID: "m"})
	if got, want := letters.wait(f, 1)[0], `m "" permanent 1`; got != want {
		f.Errorf("the letter is %q, want %q", got, want)
	}
}

func keepsWhatDoesNotDecode(f *fixture) {
	c := f.client()
	letters := f.buried(c)
	typed := pubsub.NewTopic[map[string]int](f.topic, nil)
	f.start(typed.Subscribe(c, "one", func(context.Context, map[string]int) error {
		f.Error("what does not decode was handled")
		return nil
	}, &pubsub.SubscriptionOptions{Lease: longLease}))
	f.send(c, &pubsub.Message{ID: "m", Data: []byte("{\x00\xff")})
	if got, want := letters.wait(f, 1)[0], `m "{\x00\xff" permanent 1`; got != want {
		f.Errorf("the letter is %q, want %q", got, want)
	}
}

// drainGivesBackAtOnce stops a subscription whose one worker is busy, under a lease that nobody could wait for: what
// waits behind it is handled by the next one all the same.
func drainGivesBackAtOnce(f *fixture) {
	const n = 10
	c, running, handled := f.client(), newJournal(), newJournal()
	finish := make(chan struct{})
	stop := f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		running.note(m.ID)
		<-finish
		handled.note(m.ID)
		return nil
	}, &pubsub.SubscriptionOptions{Lease: longLease, Concurrency: 1, HandlerTimeout: longLease}))
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%02d", i))
		f.send(c, &pubsub.Message{ID: want[i]})
	}
	running.wait(f, 1)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		handled.note(m.ID)
		return nil
	}, &pubsub.SubscriptionOptions{Lease: longLease}))
	handled.wait(f, n-1)
	close(finish)
	<-stopped
	if got := slices.Sorted(slices.Values(handled.wait(f, n))); !slices.Equal(got, want) {
		f.Errorf("handled %v, want %v", got, want)
	}
}

func handlesABurst(f *fixture) {
	const n = 400
	c, j := f.client(), newJournal()
	var seen sync.Map
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		if _, before := seen.LoadOrStore(m.ID, true); !before {
			j.note(m.ID)
		}
		return nil
	}, &pubsub.SubscriptionOptions{Lease: longLease, Concurrency: 16, MaxInFlight: 50}))
	ms := make([]*pubsub.Message, n)
	for i := range ms {
		ms[i] = &pubsub.Message{ID: fmt.Sprintf("%03d", i), Key: strings.Repeat("k", i%7)}
	}
	f.send(c, ms...)
	j.wait(f, n)
}

func clientGivesEachSubscriptionAll(f *fixture) {
	c := f.client()
	var js []*journal
	for _, name := range []string{"a", "b"} {
		j := newJournal()
		js = append(js, j)
		f.start(c.Subscribe(f.topic, name, func(_ context.Context, m *pubsub.Message) error {
			j.note(m.Subscription + " " + m.ID)
			return nil
		}, &pubsub.SubscriptionOptions{Lease: longLease}))
	}
	f.send(c, &pubsub.Message{ID: "1"})
	for i, name := range []string{"a", "b"} {
		if got := js[i].wait(f, 1); got[0] != name+" 1" {
			f.Errorf("handled %q, want %q", got, name+" 1")
		}
	}
}

func clientPings(f *fixture) {
	f.eventually(f.client().Ping)
}
