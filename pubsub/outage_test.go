package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

var errDown = errors.New("connection refused")

// outage is a broker that can be away.
type outage struct {
	driver.Broker
	mu    sync.Mutex
	err   error // of everything, nil while the broker is there
	calls int   // that failed
}

func (b *outage) set(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *outage) failed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

func (b *outage) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		b.calls++
	}
	return b.err
}

func (b *outage) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	sub, err := b.Broker.Subscribe(ctx, o)
	return &outageSub{sub, b}, err
}

type outageSub struct {
	driver.Subscription
	b *outage
}

func (s *outageSub) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	if err := s.b.check(); err != nil {
		return nil, err
	}
	// As a driver does that looks at its connection now and then.
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errDown)
	defer cancel()
	ds, err := s.Subscription.Receive(ctx, n)
	if errors.Is(context.Cause(ctx), errDown) && len(ds) == 0 {
		return nil, s.b.check()
	}
	return ds, err
}

func TestBrokerThatIsAway(t *testing.T) {
	t.Run("AtTheStart", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker := &outage{Broker: &mempubsub.Broker{}, err: errDown}
			b := newBench(t, broker)
			j := &journal{}
			sub := b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
				j.note("%s", m.ID)
				return nil
			}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- sub.Run(ctx) }()
			pass(time.Minute)
			select {
			case <-sub.Ready():
				t.Error("ready while the broker is away")
			default:
			}
			if n := broker.failed(); n < 5 || n > 60 {
				t.Errorf("%d tries in a minute, want a few", n)
			}
			broker.set(nil)
			pass(11 * time.Second)
			<-sub.Ready()
			b.publish("orders", &pubsub.Message{ID: "1"})
			pass(time.Second)
			if got := j.all(); len(got) != 1 {
				t.Errorf("handled %v, want the message", got)
			}
			if n := strings.Count(b.logs.String(), "cannot be opened"); n != 1 {
				t.Errorf("logged %d times, want once an outage:\n%s", n, b.logs)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("UntilTheEnd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, &outage{Broker: &mempubsub.Broker{}, err: errDown})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			err := b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error { return nil }, nil).Run(ctx)
			if err != nil || time.Since(began) != time.Minute {
				t.Errorf("Run = %v after %v, want nil when its context ends: nothing was received", err, time.Since(began))
			}
		})
	})

	t.Run("Meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker := &outage{Broker: &mempubsub.Broker{}}
			b := newBench(t, broker)
			j := &journal{}
			stop := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
				j.note("%s", m.ID)
				return nil
			}, &pubsub.SubscriptionOptions{Lease: time.Hour})) // so that nothing but the retry wakes it
			for range 2 {
				broker.set(errDown)
				pass(time.Minute)
				broker.set(nil)
				b.publish("orders", &pubsub.Message{ID: "1"})
				pass(time.Minute)
			}
			if got := j.all(); len(got) != 2 {
				t.Errorf("handled %v, want one after each outage", got)
			}
			if n := broker.failed(); n < 10 || n > 80 {
				t.Errorf("%d tries in two minutes, want a few", n)
			}
			for _, want := range []string{"cannot receive", "receives again"} {
				if n := strings.Count(b.logs.String(), want); n != 2 {
					t.Errorf("%q is logged %d times, want once an outage:\n%s", want, n, b.logs)
				}
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("WhileItStops", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker := &outage{Broker: &mempubsub.Broker{}}
			b := newBench(t, broker)
			stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
				time.Sleep(20 * time.Second)
				return nil
			}, nil))
			b.publish("orders", &pubsub.Message{ID: "1"})
			synctest.Wait()
			broker.set(errDown)
			pass(5 * time.Second)
			tries := broker.failed()
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := broker.failed() - tries; n > 0 {
				t.Errorf("%d more tries to receive after the stop, want none", n)
			}
		})
	})

	t.Run("ForGood", func(t *testing.T) {
		for when, err := range map[string]error{"Open": nil, "Receive": resilience.Permanent(errors.New("no such stream")), "Closed": driver.ErrClosed} {
			t.Run(when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					broker := &outage{Broker: &mempubsub.Broker{}}
					b := newBench(t, broker)
					want := err
					if when == "Open" {
						want = resilience.Permanent(errors.New("not allowed"))
						broker.set(want)
					}
					ended := make(chan error, 1)
					go func() {
						ended <- b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
							time.Sleep(5 * time.Second)
							return nil
						}, nil).Run(t.Context())
					}()
					synctest.Wait()
					if when != "Open" {
						b.publish("orders", &pubsub.Message{})
						synctest.Wait()
						broker.set(want)
					}
					if got := <-ended; !errors.Is(got, want) || !strings.Contains(got.Error(), `subscription "stock"`) {
						t.Errorf("Run = %v, want %v and the subscription's name", got, want)
					}
				})
			})
		}
	})
}

func TestSlowSubscriberDoesNotHoldUpOthers(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		stopA := run(t, b.client.Subscribe("orders", "a", func(ctx context.Context, _ *pubsub.Message) error {
			<-ctx.Done() // as good as for ever
			return ctx.Err()
		}, &pubsub.SubscriptionOptions{HandlerTimeout: -1, DrainTimeout: time.Second}))
		j := &journal{}
		stopB := run(t, b.client.Subscribe("orders", "b", func(_ context.Context, m *pubsub.Message) error {
			j.note("%s", m.ID)
			return nil
		}, nil))
		for i := range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := b.client.Publish(ctx, "orders", &pubsub.Message{ID: fmt.Sprint(i)}); err != nil {
				t.Errorf("Publish %d: %v", i, err)
			}
			cancel()
		}
		pass(time.Second)
		if got := len(j.all()); got != 100 {
			t.Errorf("B handled %d, want all 100", got)
		}
		began := time.Now()
		if err := errors.Join(stopA(), stopB()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run of A = %v, want a deadline error", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the end took %v, want A's DrainTimeout", took)
		}
	})
}
