package pubsubtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// The tests that disturb every other run by themselves.
var (
	restartTests = []test{
		{name: "KeepsWhatWasStored", needs: []ability{restart}, run: keepsWhatWasStored},
		{name: "SubscriptionsGoOn", needs: []ability{restart}, run: subscriptionsGoOn},
	}
	outageTests = []test{
		{name: "PublishEndsWithItsDeadline", needs: []ability{outage}, run: publishEndsWithItsDeadline},
		{name: "PingSaysSo", needs: []ability{outage}, run: pingSaysSo},
		{name: "ReceiversGoOnAfterwards", needs: []ability{outage}, run: receiversGoOnAfterwards},
	}
)

func keepsWhatWasStored(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("unsettled", ""), message("waiting", ""))
	r.receive(1)
	f.Restart(f)
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	got := map[string]bool{}
	for len(got) < 2 {
		ds, err := r.sub.Receive(ctx, 10)
		if ctx.Err() != nil {
			f.Fatalf("received %v after the restart, then %v, want both messages", got, err)
		}
		if err != nil && errors.Is(err, driver.ErrClosed) {
			f.Fatalf("Receive = %v, want an error that another try may mend", err)
		}
		for _, d := range ds {
			got[string(d.Data)] = true
		}
		if err != nil {
			<-time.After(f.Lease / 10) // package pubsub backs off between tries, too
		}
	}
	f.publish(message("after", ""))
}

func subscriptionsGoOn(f *fixture) {
	c, j := f.client(), newJournal()
	var seen sync.Map
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		if _, before := seen.LoadOrStore(m.ID, true); !before {
			j.note(m.ID)
		}
		return nil
	}, &pubsub.SubscriptionOptions{Lease: f.Lease}))
	f.send(c, &pubsub.Message{ID: "before"})
	j.wait(f, 1)
	f.Restart(f)
	f.eventually(func(ctx context.Context) error { return c.Publish(ctx, f.topic, &pubsub.Message{ID: "after"}) })
	j.wait(f, 2)
}

// eventually tries until do succeeds.
func (f *fixture) eventually(do func(context.Context) error) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			f.Fatalf("still failing: %v", err)
		case <-time.After(f.Lease / 10):
		}
	}
}

func publishEndsWithItsDeadline(f *fixture) {
	f.publish(message("before", ""))
	end := f.away()
	ctx, cancel := context.WithTimeout(f.Context(), f.Lease)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.broker.Publish(ctx, f.topic, []driver.Message{message("during", "")}) }()
	select {
	case err := <-ended:
		if err == nil {
			f.Error("Publish during an outage = nil, want an error")
		}
	case <-time.After(patience):
		f.Errorf("Publish goes on after its deadline of %v", f.Lease)
	}
	end()
	f.eventually(func(ctx context.Context) error {
		return f.broker.Publish(ctx, f.topic, []driver.Message{message("after", "")})
	})
}

// away begins an outage that ends with the test at the latest.
func (f *fixture) away() (end func()) {
	end = sync.OnceFunc(f.Outage(f))
	f.Cleanup(end)
	return end
}

func pingSaysSo(f *fixture) {
	p, ok := f.broker.(driver.Pinger)
	if !ok {
		f.Fatal("the broker is no driver.Pinger, though it can be away")
	}
	f.eventually(p.Ping)
	end := f.away()
	ctx, cancel := context.WithTimeout(f.Context(), f.Lease)
	defer cancel()
	if err := p.Ping(ctx); err == nil {
		f.Error("Ping during an outage = nil, want an error")
	}
	end()
	f.eventually(p.Ping)
}

func receiversGoOnAfterwards(f *fixture) {
	c, j := f.client(), newJournal()
	f.start(c.Subscribe(f.topic, "one", func(_ context.Context, m *pubsub.Message) error {
		j.note(m.ID)
		return nil
	}, &pubsub.SubscriptionOptions{Lease: f.Lease}))
	f.send(c, &pubsub.Message{ID: "before"})
	j.wait(f, 1)
	end := f.away()
	<-time.After(f.Lease)
	end()
	f.eventually(func(ctx context.Context) error { return c.Publish(ctx, f.topic, &pubsub.Message{ID: "after"}) })
	j.wait(f, 2)
}
