package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

func TestStop(t *testing.T) {
	t.Run("LetsRunningHandlersEnd", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, m *pubsub.Message) error {
				select {
				case <-time.After(10 * time.Second):
					j.note("%s", m.ID)
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}, nil))
			b.publish("orders", &pubsub.Message{ID: "1"}, &pubsub.Message{ID: "2"})
			pass(time.Second)
			began := time.Now()
			if err := stop(); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if took := time.Since(began); took != 9*time.Second {
				t.Errorf("Run took %v to end, want the 9s that its handlers needed", took)
			}
			if got := j.all(); len(got) != 2 {
				t.Errorf("handled %v, want both", got)
			}
		})
	})

	for _, most := range []int{1, 5} {
		t.Run(fmt.Sprintf("IsNotAFailureOfTheMessage/MaxAttempts=%d", most), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				o := &pubsub.SubscriptionOptions{DrainTimeout: 2 * time.Second, HandlerTimeout: -1, Retry: pubsub.Retry{MaxAttempts: most}}
				stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, m *pubsub.Message) error {
					<-ctx.Done()
					return ctx.Err()
				}, o))
				b.publish("orders", &pubsub.Message{ID: "in-hand"})
				pass(time.Second)
				began := time.Now()
				err := stop()
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "in-hand") || !strings.Contains(err.Error(), `subscription "stock" of "orders"`) {
					t.Errorf("Run = %v, want a deadline error that names the subscription and the message", err)
				}
				if took := time.Since(began); took != 2*time.Second {
					t.Errorf("Run took %v to end, want DrainTimeout", took)
				}
				j := &journal{}
				stop = run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
					j.note("%s", m.ID)
					return nil
				}, o))
				pass(time.Second)
				if got := j.all(); len(got) != 1 {
					t.Errorf("handled %v after the restart, want in-hand at once", got)
				}
				if got := letters(); len(got) != 0 {
					t.Errorf("%d dead letters, want none", len(got))
				}
				if s := b.logs.String(); s != "" {
					t.Errorf("logged %s, want nothing: nothing failed", s)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}

	t.Run("LeavesBehindAHandlerThatIgnoresItsContext", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			free := make(chan struct{})
			ended := make(chan struct{})
			stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
				defer close(ended)
				<-free
				return nil
			}, &pubsub.SubscriptionOptions{DrainTimeout: time.Second}))
			b.publish("orders", &pubsub.Message{ID: "stuck"})
			pass(time.Second)
			began := time.Now()
			if err := stop(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stuck") {
				t.Errorf("Run = %v, want a deadline error that names the message", err)
			}
			if took := time.Since(began); took != 3*time.Second {
				t.Errorf("Run took %v to end, want DrainTimeout and 2s", took)
			}
			close(free)
			<-ended
		})
	})

	t.Run("ReleasesWhatWaitsAtOnce", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			first := &journal{}
			stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, m *pubsub.Message) error {
				first.note("%s", m.ID)
				if m.ID == "fails" {
					return errors.New("boom")
				}
				time.Sleep(20 * time.Second)
				return nil
			}, &pubsub.SubscriptionOptions{Concurrency: 1, Retry: pubsub.Retry{MinBackoff: 10 * time.Second, MaxBackoff: 10 * time.Second}}))
			for _, id := range []string{"fails", "slow", "queued"} {
				b.publish("orders", &pubsub.Message{ID: id})
			}
			pass(time.Second)
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			synctest.Wait()

			second := &journal{}
			began := time.Now()
			stopSecond := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
				second.note("%s %d at %v", m.ID, m.Attempt, time.Since(began))
				return nil
			}, nil))
			pass(time.Hour)
			if got, want := first.all(), []string{"fails", "slow"}; !slices.Equal(got, want) {
				t.Errorf("the first handled %v, want %v and nothing new", got, want)
			}
			if got, want := second.all(), []string{"queued 2 at 0s", "fails 2 at 9s"}; !slices.Equal(got, want) {
				t.Errorf("the second handled %v, want %v: what was queued at once, what waits when it is due", got, want)
			}
			if err := <-stopped; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if err := stopSecond(); err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("KeepsAKeyUntilItsHandlerEnds", func(t *testing.T) {
		// The broker orders nothing itself, so that only the subscription can.
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, strict{keyless{&mempubsub.Broker{}}})
			j := &journal{}
			began := time.Now()
			handle := func(_ context.Context, m *pubsub.Message) error {
				time.Sleep(10 * time.Second)
				j.note("%s at %v", m.ID, time.Since(began))
				return nil
			}
			stop := run(t, b.client.Subscribe("orders", "stock", handle, nil))
			b.publish("orders", &pubsub.Message{ID: "k1", Key: "k"}, &pubsub.Message{ID: "k2", Key: "k"}, &pubsub.Message{ID: "k3", Key: "k"})
			pass(time.Second)
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			synctest.Wait()
			stopSecond := run(t, b.client.Subscribe("orders", "stock", handle, nil))
			pass(time.Hour)
			if got, want := j.all(), []string{"k1 at 10s", "k2 at 20s", "k3 at 30s"}; !slices.Equal(got, want) {
				t.Errorf("handled %v, want %v: no two of a key at once while a replica stops", got, want)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			if err := stopSecond(); err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("KeepsTheBackOffOfWhatFailsMeanwhile", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			handle := func(ctx context.Context, m *pubsub.Message) error {
				time.Sleep(2 * time.Second)
				return errors.New("boom")
			}
			stop := run(t, b.client.Subscribe("orders", "stock", handle, &pubsub.SubscriptionOptions{
				Retry: pubsub.Retry{MinBackoff: 5 * time.Second, MaxBackoff: 5 * time.Second},
			}))
			b.publish("orders", &pubsub.Message{ID: "1", Key: "k"}, &pubsub.Message{ID: "2", Key: "k"})
			pass(time.Second)
			if err := stop(); err != nil {
				t.Error(err)
			}
			j := &journal{}
			began := time.Now()
			stop = run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
				j.note("%s %d at %v", m.ID, m.Attempt, time.Since(began))
				return nil
			}, nil))
			pass(time.Hour)
			if got, want := j.all(), []string{"1 2 at 5s", "2 2 at 5s"}; !slices.Equal(got, want) {
				t.Errorf("the next consumer handled %v, want %v", got, want)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("AcknowledgesAHandlerThatEndsWellAfterItsContext", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker := &mempubsub.Broker{}
			b := newBench(t, strict{broker})
			stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, _ *pubsub.Message) error {
				<-ctx.Done()
				return nil
			}, &pubsub.SubscriptionOptions{DrainTimeout: time.Second}))
			b.publish("orders", &pubsub.Message{ID: "1"})
			pass(time.Second)
			if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Run = %v, want a deadline error", err)
			}
			if n := pending(t, broker); n != 0 {
				t.Errorf("%d messages are pending, want 0", n)
			}
		})
	})

	t.Run("ReleasesWhatArrivesTooLate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			mem := &mempubsub.Broker{}
			b := newBench(t, late{strict{mem}})
			stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
				t.Error("handled after the end")
				return nil
			}, nil))
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			synctest.Wait()
			b.publish("orders", &pubsub.Message{ID: "1"})
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			sub, err := mem.Subscribe(t.Context(), driver.SubscribeOptions{Topic: "orders", Name: "stock", Lease: time.Minute, MaxInFlight: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close(t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if ds, err := sub.Receive(ctx, 1); len(ds) != 1 {
				t.Errorf("Receive = %v, %v, want the message at once", ds, err)
			}
		})
	})

	t.Run("BeforeTheFirstMessage", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			if err := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error { return nil }, nil))(); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	})

	t.Run("AcknowledgesWhatEndsMeanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker := &mempubsub.Broker{}
			b := newBench(t, broker)
			stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
				time.Sleep(5 * time.Second)
				return nil
			}, nil))
			b.publish("orders", &pubsub.Message{}, &pubsub.Message{}, &pubsub.Message{})
			pass(time.Second)
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := pending(t, broker); n != 0 {
				t.Errorf("%d messages are pending, want 0", n)
			}
		})
	})
}

// late is a broker whose Receive does not see that its context ends.
type late struct{ driver.Broker }

func (b late) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	sub, err := b.Broker.Subscribe(ctx, o)
	return lateSub{sub}, err
}

type lateSub struct{ driver.Subscription }

func (s lateSub) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	return s.Subscription.Receive(context.WithoutCancel(ctx), n)
}

// keyless hides the keys from a broker: they travel in the envelope alone.
type keyless struct{ driver.Broker }

func (b keyless) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	ms = slices.Clone(ms)
	for i := range ms {
		ms[i].Key = ""
	}
	return b.Broker.Publish(ctx, topic, ms)
}

func TestDrainReceivesNothingMoreAndHandlesTheRest(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		j := &journal{}
		sub := b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			time.Sleep(time.Second)
			j.note("%s", m.ID)
			return nil
		}, &pubsub.SubscriptionOptions{Concurrency: 1})
		stop := run(t, sub)
		for i := range 10 {
			b.publish("orders", &pubsub.Message{ID: fmt.Sprint(i)})
		}
		synctest.Wait()
		sub.Drain()
		sub.Drain()
		pass(time.Minute)
		received := len(j.all())
		if received == 0 || received > 3 {
			t.Errorf("%d handled after Drain, want the few that were received", received)
		}
		if s := b.logs.String(); s != "" {
			t.Errorf("logged %s, want nothing: to drain is no outage", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestDrainOfAnIdleSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		sub := b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
			t.Error("handled after Drain")
			return nil
		}, nil)
		stop := run(t, sub)
		synctest.Wait()
		sub.Drain()
		synctest.Wait()
		b.publish("orders", &pubsub.Message{})
		pass(time.Minute)
		if s := b.logs.String(); s != "" {
			t.Errorf("logged %s, want nothing: to drain is no outage", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestLeases(t *testing.T) {
	t.Run("AreKeptForWhatRunsQueuesAndWaits", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			handle := func(_ context.Context, m *pubsub.Message) error {
				j.note("%s", m.ID)
				if m.ID == "fails" && m.Attempt == 1 {
					return errors.New("boom")
				}
				time.Sleep(4 * time.Second)
				return nil
			}
			o := &pubsub.SubscriptionOptions{
				Lease: time.Second, Concurrency: 1, Retry: pubsub.Retry{MinBackoff: 20 * time.Second, MaxBackoff: 20 * time.Second},
			}
			stop := run(t, b.client.Subscribe("orders", "stock", handle, o))
			for _, id := range []string{"fails", "runs", "queues"} {
				b.publish("orders", &pubsub.Message{ID: id})
			}
			synctest.Wait()
			stopSecond := run(t, b.client.Subscribe("orders", "stock", handle, o))
			pass(time.Hour)
			if got, want := j.all(), []string{"fails", "runs", "queues", "fails"}; !slices.Equal(got, want) {
				t.Errorf("handled %v, want %v, by the first consumer alone", got, want)
			}
			for _, stop := range []func() error{stop, stopSecond} {
				if err := stop(); err != nil {
					t.Error(err)
				}
			}
		})
	})

	t.Run("AreRenewedWhenAThirdHasPassed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			j := &journal{}
			b := newBench(t, extends{&mempubsub.Broker{}, j})
			stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
				time.Sleep(10 * time.Second)
				return nil
			}, &pubsub.SubscriptionOptions{Lease: 9 * time.Second}))
			b.publish("orders", &pubsub.Message{ID: "1"})
			pass(time.Minute)
			if got := j.all(); len(got) != 3 {
				t.Errorf("leases renewed: %v, want at 3, 6 and 9s and never again", got)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
}

// extends notes each renewal of a lease.
type extends struct {
	driver.Broker
	j *journal
}

func (b extends) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	sub, err := b.Broker.Subscribe(ctx, o)
	return extendsSub{sub, b.j}, err
}

type extendsSub struct {
	driver.Subscription
	j *journal
}

func (s extendsSub) Extend(ctx context.Context, ds []*driver.Delivery) error {
	s.j.note("%d", len(ds))
	return s.Subscription.Extend(ctx, ds)
}
