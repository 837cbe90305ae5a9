package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
)

// topic keeps what is published, and refuses what fail says: the call's number and the message's place.
type topic struct {
	calls int
	ids   []string
	fail  func(call, at int) bool
	err   error // where nothing is stored
}

func (p *topic) Publish(_ context.Context, _ string, ms ...*pubsub.Message) error {
	p.calls++
	if p.err != nil && p.calls == 1 {
		return p.err
	}
	var failed []int
	for i, m := range ms {
		if p.fail(p.calls, i) {
			failed = append(failed, i)
			continue
		}
		p.ids = append(p.ids, m.ID)
	}
	if failed != nil {
		return &driver.PublishError{Indexes: failed, Err: errors.New("away")}
	}
	return nil
}

func publisherTo(p pubsub.Publisher, n int) *publisher {
	return &publisher{
		to: p, keys: []string{"a", "b", "c"}, random: rand.New(rand.NewPCG(1, 1)), left: n,
		sent: make(map[string]int64), done: new(atomic.Int64), again: new(atomic.Int64),
	}
}

// stored returns what has to be stored once all of it is sent.
func stored(sent map[string]int64) []string {
	var ids []string
	for key, n := range sent {
		for seq := int64(1); seq <= n; seq++ {
			ids = append(ids, event{key, seq}.id())
		}
	}
	return slices.Sorted(slices.Values(ids))
}

func TestPublisher(t *testing.T) {
	t.Run("PublishesAgainWhatMayNotBeStoredUnderItsID", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			to := &topic{fail: func(call, at int) bool { return call%2 == 1 && at%3 == 0 }}
			p := publisherTo(to, 1000)
			if err := p.run(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
			got, want := slices.Sorted(slices.Values(to.ids)), stored(p.sent)
			if len(got) != 1000 || !slices.Equal(got, want) {
				t.Errorf("stored %d messages, want the 1000 that are noted as sent, %d", len(got), len(want))
			}
			if p.again.Load() == 0 {
				t.Error("published again: got 0, want some")
			}
		})
	})
	t.Run("PublishesAllAgainWhereNothingIsStored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			to := &topic{fail: func(int, int) bool { return false }, err: errors.New("away")}
			p := publisherTo(to, 10)
			if err := p.batch(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			if len(to.ids) != 10 || p.again.Load() != 10 {
				t.Errorf("stored %d, %d of them again, want 10 and 10", len(to.ids), p.again.Load())
			}
		})
	})
	t.Run("DoesNotRepeatWhatIsRefusedForGood", func(t *testing.T) {
		to := &topic{err: resilience.Permanent(errors.New("too large"))}
		if err := publisherTo(to, 10).batch(t.Context(), 10); err == nil || to.calls != 1 {
			t.Errorf("got %v after %d calls, want an error after 1", err, to.calls)
		}
	})
}
