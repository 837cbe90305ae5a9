package pubsub_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// behind is a broker that says what it is told to about lag.
type behind struct {
	driver.Broker
	mu    sync.Mutex
	lag   driver.Lag
	err   error
	asked int
}

func (b *behind) set(lag driver.Lag, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lag, b.err = lag, err
}

func (b *behind) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	sub, err := b.Broker.Subscribe(ctx, o)
	return &behindSub{sub, b}, err
}

type behindSub struct {
	driver.Subscription
	b *behind
}

func (s *behindSub) Lag(ctx context.Context) (driver.Lag, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.asked++
	if _, bounded := ctx.Deadline(); !bounded {
		return driver.Lag{}, errors.New("not bounded")
	}
	return s.b.lag, s.b.err
}

// lagSeries returns which of the two gauges there are.
func (b *bench) lagSeries() []string {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		if n := f.GetName(); strings.Contains(n, "_lag_") || strings.Contains(n, "_oldest_") {
			names = append(names, n)
		}
	}
	return names
}

func TestLag(t *testing.T) {
	ok := func(context.Context, *pubsub.Message) error { return nil }
	const messages, age = "mainstay_pubsub_lag_messages", "mainstay_pubsub_oldest_age_seconds"
	synctest.Test(t, func(t *testing.T) {
		broker := &behind{Broker: &mempubsub.Broker{}}
		b := newBench(t, broker)
		stop := run(t, b.client.Subscribe("orders", "stock", ok, nil))
		defer stop()
		synctest.Wait()
		if got := b.lagSeries(); len(got) != 2 || b.metric(messages) != 0 || b.metric(age) != 0 {
			t.Errorf("%v at the start, want both at 0", got)
		}
		broker.set(driver.Lag{Messages: 7, Oldest: time.Now().Add(-time.Minute)}, nil)
		pass(15 * time.Second)
		if n, s := b.metric(messages, "topic", "orders", "subscription", "stock"), b.metric(age); n != 7 || s != 75 {
			t.Errorf("lag %v messages, %vs, want 7 and 75s", n, s)
		}
		broker.set(driver.Lag{Messages: 7}, nil)
		pass(15 * time.Second)
		if got := b.lagSeries(); !slices.Equal(got, []string{messages}) {
			t.Errorf("%v where the broker knows no age, want the messages only", got)
		}
		broker.set(driver.Lag{}, errors.New("not now"))
		pass(time.Minute)
		if got := b.lagSeries(); len(got) != 0 {
			t.Errorf("%v while the broker does not say, want none: they would be old", got)
		}
		if n := strings.Count(b.logs.String(), "not now"); n != 1 {
			t.Errorf("logged %d times, want once an outage:\n%s", n, b.logs)
		}
		broker.set(driver.Lag{Messages: 1, Oldest: time.Now().Add(time.Hour)}, nil)
		pass(15 * time.Second)
		if s := b.metric(age); s != 0 {
			t.Errorf("age %vs by a clock that is ahead, want 0", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := b.lagSeries(); len(got) != 0 {
			t.Errorf("%v after Run, want none", got)
		}
	})
}

func TestLagIsNotAskedFor(t *testing.T) {
	ok := func(context.Context, *pubsub.Message) error { return nil }
	synctest.Test(t, func(t *testing.T) {
		broker := &behind{Broker: &mempubsub.Broker{}}
		b := newBench(t, broker)
		stop := run(t, b.client.Subscribe("orders", "stock", ok, &pubsub.SubscriptionOptions{LagInterval: -1}))
		pass(time.Hour)
		if got := b.lagSeries(); len(got) != 0 || broker.asked != 0 {
			t.Errorf("%v after %d questions, want none", got, broker.asked)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
