package pubsub_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
)

func TestPause(t *testing.T) {
	// slow takes 10s for each message; "fails" fails first.
	slow := func(j *journal, began time.Time) pubsub.Handler {
		return func(_ context.Context, m *pubsub.Message) error {
			if m.ID == "fails" && m.Attempt == 1 {
				return errors.New("boom")
			}
			time.Sleep(10 * time.Second)
			j.note("%s at %v", m.ID, time.Since(began))
			return nil
		}
	}
	hour := pubsub.Retry{MinBackoff: time.Minute, MaxBackoff: time.Minute}
	t.Run("GivesBackWhatDoesNotRun", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			began := time.Now()
			first, second := &journal{}, &journal{}
			o := &pubsub.SubscriptionOptions{Concurrency: 1, Retry: hour}
			sub := b.client.Subscribe("orders", "stock", slow(first, began), o)
			stop := run(t, sub)
			b.publishAll("f fails", "k runs", "k behind", " idle")
			pass(time.Second)
			sub.Pause()
			sub.Pause()
			synctest.Wait()
			if !sub.Paused() {
				t.Error("Paused() = false after Pause")
			}
			stopSecond := run(t, b.client.Subscribe("orders", "stock", slow(second, began), o))
			b.publishAll(" later")
			pass(time.Hour)
			if got, want := first.all(), []string{"runs at 10s"}; !slices.Equal(got, want) {
				t.Errorf("the paused one handled %q, want %q", got, want)
			}
			got := second.all()
			slices.Sort(got)
			want := []string{"behind at 31s", "fails at 1m10s", "idle at 11s", "later at 21s"}
			if !slices.Equal(got, want) {
				t.Errorf("the other one handled %q, want %q", got, want)
			}
			if err := stopSecond(); err != nil {
				t.Error(err)
			}
			b.publishAll(" at-last")
			pass(time.Minute)
			sub.Resume()
			pass(time.Minute)
			if got := first.all(); len(got) != 2 {
				t.Errorf("after Resume it handled %q, want the message that waited", got)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("MayComeBeforeRun", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			sub := b.client.Subscribe("orders", "stock", slow(j, time.Now()), nil)
			sub.Pause()
			stop := run(t, sub)
			b.publishAll(" 1")
			pass(time.Minute)
			if got := j.all(); len(got) != 0 {
				t.Errorf("handled %q while it was paused", got)
			}
			sub.Resume()
			pass(time.Minute)
			if got := j.all(); len(got) != 1 {
				t.Errorf("handled %q after Resume, want the message", got)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("EndsWithRun", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			sub := b.client.Subscribe("orders", "stock", slow(j, time.Now()), nil)
			stop := run(t, sub)
			b.publishAll("k 1", "k 2")
			pass(time.Second)
			sub.Pause()
			synctest.Wait()
			if err := stop(); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if got := j.all(); len(got) != 1 {
				t.Errorf("handled %q, want what ran", got)
			}
			sub.Resume() // and nothing happens
		})
	})
	t.Run("IsNotEndedAfterDrain", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			sub := b.client.Subscribe("orders", "stock", slow(j, time.Now()), nil)
			stop := run(t, sub)
			sub.Pause()
			synctest.Wait()
			sub.Drain()
			sub.Resume()
			b.publishAll(" 1")
			pass(time.Minute)
			if got := j.all(); len(got) != 0 {
				t.Errorf("handled %q after Drain, want nothing", got)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("GivesBackWhatIsOnItsWay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			broker, j := newSeat(), &journal{}
			sub := newBench(t, broker).client.Subscribe("orders", "stock", slow(j, time.Now()), nil)
			broker.extra = func() {
				sub.Pause()
				time.Sleep(time.Second) // it is paused before it has the delivery
			}
			stop := run(t, sub)
			broker.give("k 1")
			pass(time.Minute)
			if got, want := broker.settled.all(), []string{"release 0s 1"}; !slices.Equal(got, want) || len(j.all()) != 0 {
				t.Errorf("settled %q and handled %q, want %q and nothing", got, j.all(), want)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("MayBeShort", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			sub := b.client.Subscribe("orders", "stock", slow(j, time.Now()), nil)
			stop := run(t, sub)
			for range 10 {
				b.publishAll(" 1")
				sub.Pause()
				sub.Resume()
			}
			pass(time.Minute)
			if got := j.all(); len(got) != 10 {
				t.Errorf("handled %d, want all 10", len(got))
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
}
