package pubsub_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// supply is a broker that has as many messages as anybody asks for, up to most at a time, and notes what is asked, held
// and acknowledged.
type supply struct {
	mempubsub.Broker
	t    *testing.T
	most int

	mu    sync.Mutex
	asked []int
	acked []int
	held  int
	peak  int

	released int
}

func (s *supply) Subscribe(context.Context, driver.SubscribeOptions) (driver.Subscription, error) {
	return supplied{s}, nil
}

type supplied struct{ *supply }

func (s supplied) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 1 {
		s.t.Errorf("asked for %d messages, want at least one", n)
	}
	s.asked = append(s.asked, n)
	ds := make([]*driver.Delivery, min(n, s.most))
	for i := range ds {
		ds[i] = &driver.Delivery{Attempt: 1, Position: "1"}
	}
	s.held += len(ds)
	s.peak = max(s.peak, s.held)
	return ds, nil
}

func (s supplied) Ack(_ context.Context, ds []*driver.Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = append(s.acked, len(ds))
	s.held -= len(ds)
	return nil
}

func (s supplied) Release(_ context.Context, ds []*driver.Delivery, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released += len(ds)
	return nil
}

func (s supplied) Extend(context.Context, []*driver.Delivery) error { return nil }
func (s supplied) Close(context.Context) error                      { return nil }

// take returns what was asked for and acknowledged since the last call.
func (s *supply) take() (asked, acked []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, acked, s.asked, s.acked = s.asked, s.acked, nil, nil
	return asked, acked
}

// consumed runs a subscription with two workers, whose handler takes as long as took, or what pace says later, until
// play returns.
func consumed(t *testing.T, s *supply, o *pubsub.SubscriptionOptions, took time.Duration, play func(pace func(time.Duration))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		o.Concurrency = 2
		stop := run(t, newBench(t, s).client.Subscribe("orders", "stock", func(ctx context.Context, _ *pubsub.Message) error {
			mu.Lock()
			d := took
			mu.Unlock()
			time.Sleep(d)
			return nil
		}, o))
		play(func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			took = d
		})
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestReceivesAheadWhatIsTakenSoon(t *testing.T) {
	s := &supply{t: t, most: 1_000_000}
	consumed(t, s, &pubsub.SubscriptionOptions{MaxInFlight: 10_000}, time.Second, func(pace func(time.Duration)) {
		time.Sleep(time.Minute)
		if asked, _ := s.take(); slices.Max(asked) > 4 {
			t.Errorf("handlers that take a second: asked for %v, want at most two for each", asked)
		}
		pace(20 * time.Microsecond)
		time.Sleep(time.Second + 100*time.Millisecond) // the slow ones first
		if asked, _ := s.take(); slices.Max(asked) <= 128 || slices.Max(asked) > 512 {
			t.Errorf("quick handlers: asked for up to %d, want 129 to 512", slices.Max(asked))
		}
		pace(time.Second)
		time.Sleep(10 * time.Minute)
		s.take()
		time.Sleep(time.Minute)
		if asked, _ := s.take(); slices.Max(asked) > 4 {
			t.Errorf("slow again: asked for %v, want at most two for each", asked)
		}
	})
}

func TestAsksForLittleWhereThereIsLittle(t *testing.T) {
	s := &supply{t: t, most: 1}
	consumed(t, s, &pubsub.SubscriptionOptions{}, 100*time.Microsecond, func(func(time.Duration)) {
		time.Sleep(100 * time.Millisecond)
		if asked, _ := s.take(); slices.Max(asked) > 4 {
			t.Errorf("a broker that has one message at a time was asked for up to %d, want at most 4", slices.Max(asked))
		}
	})
}

func TestHoldsNoMoreThanMaxInFlight(t *testing.T) {
	s := &supply{t: t, most: 1_000_000}
	consumed(t, s, &pubsub.SubscriptionOptions{MaxInFlight: 100}, 20*time.Microsecond, func(func(time.Duration)) {
		time.Sleep(100 * time.Millisecond)
		if s.take(); s.peak > 100 {
			t.Errorf("held up to %d messages, want at most 100", s.peak)
		}
	})
}

func TestAcknowledgesTogether(t *testing.T) {
	s := &supply{t: t, most: 1_000_000}
	consumed(t, s, &pubsub.SubscriptionOptions{}, 20*time.Microsecond, func(pace func(time.Duration)) {
		time.Sleep(100 * time.Millisecond)
		_, acked := s.take()
		n := 0
		for _, a := range acked {
			n += a
		}
		if mean := n / max(len(acked), 1); mean < 16 {
			t.Errorf("%d messages in %d acknowledgements, want at least 16 in one", n, len(acked))
		}
		pace(10 * time.Millisecond)
		time.Sleep(time.Second)
		s.take()
		time.Sleep(10 * time.Second)
		_, acked = s.take()
		if len(acked) < 500 {
			t.Errorf("%d acknowledgements of slow messages in 10s, want one soon after each of 2,000", len(acked))
		}
	})
}

func TestAHandlerLeftBehindSettlesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &supply{t: t, most: 1}
		free := make(chan struct{})
		b := newBench(t, s)
		stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
			<-free
			return errors.New("too late")
		}, &pubsub.SubscriptionOptions{Concurrency: 1, DrainTimeout: -1}))
		synctest.Wait()
		if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v, want that the handler was cut off", err)
		}
		before := s.released
		close(free)
		synctest.Wait()
		if after := s.released; after != before {
			t.Errorf("%d messages were released after the end, want none: the subscription is closed", after-before)
		}
	})
}
