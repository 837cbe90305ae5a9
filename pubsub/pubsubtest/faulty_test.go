package pubsubtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, b driver.Broker) driver.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "t", Name: "s", Lease: time.Minute, MaxInFlight: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drain receives and acknowledges until nothing is left, and counts by ID.
func drain(t *testing.T, s driver.Subscription) map[string]int {
	t.Helper()
	got := map[string]int{}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		ds, err := s.Receive(ctx, 7)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return got
		case err != nil && !errors.Is(err, pubsubtest.ErrInjected):
			t.Fatal(err)
		}
		for _, d := range ds {
			got[string(d.Data)]++
		}
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
}

func publishAll(t *testing.T, b driver.Broker, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprint(i)
		m := driver.Message{ID: id, Attributes: driver.AttributesOf(map[string]string{"ce-id": id}), Data: []byte(id)}
		if err := b.Publish(t.Context(), "t", []driver.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFaultyDuplicates(t *testing.T) { synctest.Test(t, faultyDuplicates) }

func faultyDuplicates(t *testing.T) {
	duplicates := func(seed uint64) map[string]int {
		f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{Seed: seed, DuplicateRatio: 0.1})
		s := open(t, f)
		publishAll(t, f, 500)
		got := drain(t, s)
		twice := 0
		for _, n := range got {
			if n > 2 {
				t.Errorf("a message arrived %d times, want at most 2", n)
			}
			twice += n - 1
		}
		if len(got) != 500 || twice < 25 || twice > 100 || twice != f.Faults().Duplicated {
			t.Errorf("%d messages, %d of them twice, %d counted, want 500, about 50, the same",
				len(got), twice, f.Faults().Duplicated)
		}
		return got
	}
	a, b, c := duplicates(1), duplicates(1), duplicates(2)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("the same seed picked other messages")
	}
	if fmt.Sprint(a) == fmt.Sprint(c) {
		t.Error("another seed picked the same messages")
	}
}

func TestFaultyDuplicatesOnce(t *testing.T) { synctest.Test(t, faultyDuplicatesOnce) }

func faultyDuplicatesOnce(t *testing.T) {
	f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{DuplicateRatio: 1})
	s := open(t, f)
	publishAll(t, f, 1)
	first, err := s.Receive(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	copies, err := s.Receive(t.Context(), 1)
	if err != nil || copies[0].Attempt != 2 || copies[0].Position != first[0].Position {
		t.Fatalf("Receive = %v, %v, want a copy at attempt 2", copies, err)
	}
	// Of a copy the broker knows nothing, so nothing may become of it.
	ctx := t.Context()
	if err := errors.Join(s.Ack(ctx, copies), s.Extend(ctx, copies), s.Release(ctx, copies, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(t.Context(), first, 0); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s); got["0"] != 1 || f.Faults().Duplicated != 1 {
		t.Errorf("received %v after the release, %d duplicated, want the message once more and no second copy",
			got, f.Faults().Duplicated)
	}
}

func TestFaultyPublish(t *testing.T) { synctest.Test(t, faultyPublish) }

func faultyPublish(t *testing.T) {
	f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{FailFirst: map[string]int{"t": 2}})
	s := open(t, f)
	m := []driver.Message{{Data: []byte("x")}}
	for i := range 2 {
		if err := f.Publish(t.Context(), "t", m); !errors.Is(err, pubsubtest.ErrInjected) {
			t.Errorf("Publish %d = %v, want ErrInjected", i, err)
		}
	}
	if err := f.Publish(t.Context(), "t", m); err != nil {
		t.Errorf("the third Publish = %v, want nil", err)
	}
	if got := drain(t, s); got["x"] != 1 || f.Faults().FailedPublishes != 2 {
		t.Errorf("received %v, %d failed, want one x, 2 failed", got, f.Faults().FailedPublishes)
	}

	f = pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{LoseConfirmRatio: 1})
	s = open(t, f)
	var partly *driver.PublishError
	if err := f.Publish(t.Context(), "t", m); !errors.As(err, &partly) {
		t.Errorf("Publish = %v, want a *PublishError", err)
	}
	if got := drain(t, s); got["x"] != 1 {
		t.Errorf("received %v, want the message whose confirmation was lost", got)
	}
}

func TestFaultyDropsAcksAndReceives(t *testing.T) { synctest.Test(t, faultyDropsAcksAndReceives) }

func faultyDropsAcksAndReceives(t *testing.T) {
	f := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{DropAckRatio: 1, FailReceiveRatio: 0.5})
	s := open(t, f)
	publishAll(t, f, 10)
	if got := drain(t, s); len(got) != 10 {
		t.Errorf("received %v, want all 10", got)
	}
	if n := f.Faults().DroppedAcks; n != 10 {
		t.Errorf("%d dropped acknowledgements, want 10", n)
	}
	if f.Faults().FailedReceptions == 0 {
		t.Error("no Receive failed")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, open(t, f)); len(got) != 10 {
		t.Errorf("received %v again, want all 10, which were never acknowledged", got)
	}
}
