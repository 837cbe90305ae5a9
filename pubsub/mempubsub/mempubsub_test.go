package mempubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	var b *mempubsub.Broker // of the test that runs
	pubsubtest.Run(t, pubsubtest.Harness{
		Adapter:   "mem",
		InProcess: true,
		Abilities: pubsubtest.Abilities{
			Order: true, Start: true, Redeliver: true, Delay: true, Browse: true, Seek: true, Lag: true,
		},
		Broker: func(testing.TB) driver.Broker {
			b = &mempubsub.Broker{}
			return b
		},
		Stranger: func(t testing.TB, topic string, data []byte) {
			if err := b.Publish(t.Context(), topic, []driver.Message{{Data: data}}); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func subscribe(t *testing.T, b *mempubsub.Broker, name string) driver.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "t", Name: name, Lease: time.Minute, MaxInFlight: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t *testing.T, b *mempubsub.Broker, key string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Publish(t.Context(), "t", []driver.Message{{ID: id, Key: key, Data: []byte(id)}}); err != nil {
			t.Fatalf("Publish(%s): %v", id, err)
		}
	}
}

// receive returns what there is, up to n, without waiting.
func receive(t *testing.T, s driver.Subscription, n int) (ds []*driver.Delivery, ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	ds, err := s.Receive(ctx, n)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Receive: %v", err)
	}
	for _, d := range ds {
		ids = append(ids, string(d.Data))
	}
	return ds, ids
}

func TestFullBacklog(t *testing.T) {
	t.Run("OthersGetAllAndPublishEndsWithItsContext", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &mempubsub.Broker{Backlog: 2}
			stuck, other := subscribe(t, b, "stuck"), subscribe(t, b, "other")
			publish(t, b, "", "0", "1")
			receive(t, other, 10)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := b.Publish(ctx, "t", []driver.Message{{Data: []byte("2")}, {Data: []byte("3")}})
			if took := time.Since(began); took != time.Second {
				t.Errorf("Publish took %v, want its context's 1s", took)
			}
			var partly *driver.PublishError
			if !errors.As(err, &partly) || !slices.Equal(partly.Indexes, []int{0, 1}) ||
				!errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Publish = %v, want a *PublishError of both that matches the context's error", err)
			}
			if _, got := receive(t, other, 10); !slices.Equal(got, []string{"2", "3"}) {
				t.Errorf("the other subscription got %v, want 2 and 3", got)
			}
			if _, got := receive(t, stuck, 10); !slices.Equal(got, []string{"0", "1"}) {
				t.Errorf("the stuck subscription got %v, want 0 and 1", got)
			}
		})
	})
	t.Run("PublishGoesOnWhenThereIsRoom", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &mempubsub.Broker{Backlog: 1}
			s := subscribe(t, b, "slow")
			published := make(chan error, 1)
			go func() {
				published <- b.Publish(t.Context(), "t", []driver.Message{{Data: []byte("0")}, {Data: []byte("1")}})
			}()
			synctest.Wait()
			ds, first := receive(t, s, 1)
			synctest.Wait()
			_, second := receive(t, s, 1)
			if err := <-published; err != nil || first[0] != "0" || second[0] != "1" {
				t.Errorf("received %v then %v, Publish = %v, want 0, 1, nil", first, second, err)
			}
			if err := s.Ack(t.Context(), ds); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("NegativeIsUnbounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &mempubsub.Broker{Backlog: -1}
			s := subscribe(t, b, "stuck")
			for i := range 20_000 {
				publish(t, b, "", fmt.Sprint(i))
			}
			if _, got := receive(t, s, 30_000); len(got) != 20_000 {
				t.Errorf("%d messages waited, want 20000", len(got))
			}
		})
	})
}

func TestKeys(t *testing.T) {
	t.Run("GoToOneReceiverAtATime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &mempubsub.Broker{}
			one, two := subscribe(t, b, "s"), subscribe(t, b, "s")
			publish(t, b, "k", "k1", "k2", "k3")
			publish(t, b, "", "free")
			first, _ := receive(t, one, 1)
			if _, got := receive(t, two, 10); !slices.Equal(got, []string{"free"}) {
				t.Errorf("the second receiver got %v, want the message without a key alone", got)
			}
			second, got := receive(t, one, 1)
			if !slices.Equal(got, []string{"k2"}) {
				t.Errorf("the first receiver got %v, want the next of its key", got)
			}
			if err := one.Ack(t.Context(), append(first, second...)); err != nil {
				t.Fatal(err)
			}
			if _, got := receive(t, two, 10); !slices.Equal(got, []string{"k3"}) {
				t.Errorf("the second receiver got %v, want k3 once the key is free", got)
			}
		})
	})
	t.Run("ReleasedIsFirstAgainAndItsDelayHoldsUpItsKeyAlone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &mempubsub.Broker{}
			s := subscribe(t, b, "s")
			publish(t, b, "k", "k1", "k2", "k3")
			publish(t, b, "other", "o1")
			ds, _ := receive(t, s, 2)
			if err := s.Release(t.Context(), ds, time.Second); err != nil {
				t.Fatal(err)
			}
			if _, got := receive(t, s, 10); !slices.Equal(got, []string{"o1"}) {
				t.Errorf("received %v during the delay, want o1 alone", got)
			}
			time.Sleep(time.Second)
			if _, got := receive(t, s, 10); !slices.Equal(got, []string{"k1", "k2", "k3"}) {
				t.Errorf("received %v after the delay, want the key in order", got)
			}
		})
	})
}

func TestAckAfterTheLeaseIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{}
		one, two := subscribe(t, b, "s"), subscribe(t, b, "s")
		publish(t, b, "k", "k1")
		stale, _ := receive(t, one, 1)
		time.Sleep(2 * time.Minute)
		again, _ := receive(t, two, 1)
		if len(again) != 1 || again[0].Attempt != 2 {
			t.Fatalf("received %v after the lease ended, want attempt 2", again)
		}
		if err := one.Ack(t.Context(), stale); err != nil {
			t.Fatal(err)
		}
		if err := two.Release(t.Context(), again, 0); err != nil {
			t.Fatal(err)
		}
		if _, got := receive(t, two, 1); len(got) != 0 {
			t.Errorf("received %v, want nothing: the message was handled", got)
		}
	})
}

func TestCloseGivesBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{}
		one, two := subscribe(t, b, "s"), subscribe(t, b, "s")
		publish(t, b, "k", "k1")
		receive(t, one, 1)
		if _, got := receive(t, two, 1); len(got) != 0 {
			t.Fatalf("received %v, want nothing while the first holds the key", got)
		}
		for range 2 {
			if err := one.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, got := receive(t, two, 1); len(got) != 1 {
			t.Errorf("received %v, want k1", got)
		}
	})
}

func TestReceiversShareWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{}
		got := make(chan []*driver.Delivery, 2)
		for range 2 {
			s := subscribe(t, b, "s")
			go func() {
				ds, err := s.Receive(t.Context(), 1)
				if err != nil {
					t.Error(err)
				}
				got <- ds
			}()
		}
		synctest.Wait()
		if err := b.Publish(t.Context(), "t", []driver.Message{{Data: []byte("0")}, {Data: []byte("1")}}); err != nil {
			t.Fatal(err)
		}
		first, second := <-got, <-got
		if first[0].Position == second[0].Position {
			t.Errorf("both received %s", first[0].Position)
		}
	})
}
