package mempubsub_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

func open(t *testing.T, b *mempubsub.Broker, o driver.SubscribeOptions) driver.Subscription {
	t.Helper()
	o.Topic, o.Lease, o.MaxInFlight = "t", time.Minute, 100
	s, err := b.Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// browse returns what topic keeps, page by page.
func browse(t *testing.T, b *mempubsub.Broker, topic string, page int) (all []*driver.Delivery, ids []string) {
	t.Helper()
	for cursor := ""; ; {
		ds, next, err := b.Browse(t.Context(), topic, cursor, page)
		if err != nil {
			t.Fatalf("Browse(%q): %v", cursor, err)
		}
		if len(ds) == 0 {
			return all, ids
		}
		for _, d := range ds {
			all, ids = append(all, d), append(ids, string(d.Data))
		}
		cursor = next
	}
}

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{History: 3}
		publish(t, b, "", "0", "1")
		time.Sleep(time.Second)
		then := time.Now()
		publish(t, b, "", "2", "3")
		for name, test := range map[string]struct {
			from driver.Start
			want []string
		}{
			"earliest is the oldest kept": {driver.Start{Earliest: true}, []string{"1", "2", "3"}},
			"a time":                      {driver.Start{Time: then}, []string{"2", "3"}},
			"a time to come":              {driver.Start{Time: then.Add(time.Hour)}, nil},
			"earliest before a time":      {driver.Start{Earliest: true, Time: then}, []string{"1", "2", "3"}},
			"the end":                     {driver.Start{}, nil},
		} {
			s := open(t, b, driver.SubscribeOptions{Name: name, Start: test.from})
			if _, got := receive(t, s, 10); !slices.Equal(got, test.want) {
				t.Errorf("%s: received %v, want %v", name, got, test.want)
			}
		}
		s := open(t, b, driver.SubscribeOptions{Name: "the end", Start: driver.Start{Earliest: true}})
		if _, got := receive(t, s, 10); len(got) != 0 {
			t.Errorf("a subscription that exists received %v, want it to go on where it was", got)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	for _, test := range []struct {
		history, deadLetters int
		dead                 bool
		published, want      int
	}{
		{0, 0, false, 1_100, 1_000},
		{-1, 0, false, 10, 0},
		{0, 0, true, 10_100, 10_000},
		{-1, 5, true, 10, 5},
		{1, -1, true, 10_100, 10_100},
	} {
		b := &mempubsub.Broker{History: test.history, DeadLetters: test.deadLetters}
		if test.dead {
			o := driver.SubscribeOptions{Topic: "x", Name: "s", Lease: time.Minute, MaxInFlight: 1, DeadLetter: "t"}
			if _, err := b.Subscribe(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		for i := range test.published {
			publish(t, b, "", fmt.Sprint(i))
		}
		_, got := browse(t, b, "t", 700)
		if len(got) != test.want {
			t.Errorf("History %d, DeadLetters %d: %d are kept of %d, want %d",
				test.history, test.deadLetters, len(got), test.published, test.want)
		}
		if len(got) > 0 && got[len(got)-1] != fmt.Sprint(test.published-1) {
			t.Errorf("the last one kept is %s, want the newest", got[len(got)-1])
		}
	}
}

func TestRemoveTakesFromEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{}
		s := subscribe(t, b, "s")
		publish(t, b, "k", "0", "1", "2")
		all, _ := browse(t, b, "t", 2)
		for range 2 { // gone already is no error
			if err := b.Remove(t.Context(), "t", all[:2]); err != nil {
				t.Fatal(err)
			}
		}
		if _, got := browse(t, b, "t", 10); !slices.Equal(got, []string{"2"}) {
			t.Errorf("browsed %v, want 2 alone", got)
		}
		if _, got := receive(t, s, 10); !slices.Equal(got, []string{"2"}) {
			t.Errorf("received %v, want 2 alone", got)
		}
		if err := b.Remove(t.Context(), "t", []*driver.Delivery{{Position: "t/9"}}); err == nil {
			t.Error("Remove of what was not browsed = nil, want an error")
		}
		if _, _, err := b.Browse(t.Context(), "t", "tomorrow", 1); err == nil {
			t.Error("Browse from a cursor of somebody else's = nil, want an error")
		}
	})
}

func TestRedeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{Backlog: 1}
		one, two := subscribe(t, b, "one"), subscribe(t, b, "two")
		ms := []driver.Message{{ID: "m", Key: "k", Data: []byte("moved")}}
		if err := b.Redeliver(t.Context(), "t", "nobody", ms, 0); err == nil {
			t.Error("Redeliver to a subscription that was never opened = nil, want an error")
		}
		began := time.Now()
		if err := b.Redeliver(t.Context(), "t", "one", ms, 5*time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, got := receive(t, one, 10); len(got) != 0 {
			t.Errorf("received %v at once, want the delay kept", got)
		}
		if _, got := receive(t, two, 10); len(got) != 0 {
			t.Errorf("the sibling received %v", got)
		}
		first, err := one.Receive(t.Context(), 10)
		if err != nil || len(first) != 1 || time.Since(began) != 5*time.Hour || first[0].Attempt != 1 {
			t.Fatalf("Receive = %v, %v after %v, want attempt 1 after exactly 5h", first, err, time.Since(began))
		}
		if _, got := browse(t, b, "t", 10); len(got) != 0 {
			t.Errorf("the topic shows %v, want what is one subscription's alone left out", got)
		}
	})
	t.Run("ReleasedItHoldsUpItsKeyLikeAnyOther", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &mempubsub.Broker{}
			s := subscribe(t, b, "s")
			ms := []driver.Message{{Key: "k", Data: []byte("moved")}}
			if err := b.Redeliver(t.Context(), "t", "s", ms, 0); err != nil {
				t.Fatal(err)
			}
			publish(t, b, "k", "k1")
			ds, _ := receive(t, s, 1)
			if err := s.Release(t.Context(), ds, time.Second); err != nil {
				t.Fatal(err)
			}
			if _, got := receive(t, s, 10); len(got) != 0 {
				t.Errorf("received %v during the delay, want the key held up", got)
			}
		})
	})
	t.Run("ItsDelayHoldsUpNobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &mempubsub.Broker{}
			s := subscribe(t, b, "s")
			ms := []driver.Message{{Key: "k", Data: []byte("moved")}}
			if err := b.Redeliver(t.Context(), "t", "s", ms, time.Minute/2); err != nil {
				t.Fatal(err)
			}
			publish(t, b, "k", "k1", "k2")
			ds, got := receive(t, s, 1)
			if !slices.Equal(got, []string{"k1"}) {
				t.Fatalf("received %v during the delay, want k1", got)
			}
			time.Sleep(time.Minute / 2)
			if err := s.Release(t.Context(), ds, time.Second); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if _, got := receive(t, s, 10); !slices.Equal(got, []string{"moved", "k1", "k2"}) {
				t.Errorf("received %v once it was due, want it at its place", got)
			}
		})
	})
}

func TestSeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{}
		s := subscribe(t, b, "s")
		publish(t, b, "", "0", "1")
		if err := b.Seek(t.Context(), "t", "s", driver.Start{Earliest: true}); err == nil {
			t.Error("Seek while somebody receives = nil, want an error")
		}
		ds, _ := receive(t, s, 1)
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			to   driver.Start
			want []string
		}{{driver.Start{Earliest: true}, []string{"0", "1"}}, {driver.Start{}, nil}} {
			if err := b.Seek(t.Context(), "t", "s", test.to); err != nil {
				t.Fatal(err)
			}
			s := subscribe(t, b, "s")
			if _, got := receive(t, s, 10); !slices.Equal(got, test.want) {
				t.Errorf("received %v from %+v on, want %v", got, test.to, test.want)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Seek(t.Context(), "t", "nobody", driver.Start{}); err == nil {
			t.Error("Seek of a subscription that was never opened = nil, want an error")
		}
	})
}

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mempubsub.Broker{}
		s := subscribe(t, b, "s")
		lagger := s.(driver.Lagger)
		check := func(messages int64, oldest time.Time) {
			t.Helper()
			if got, err := lagger.Lag(t.Context()); err != nil || got.Messages != messages || !got.Oldest.Equal(oldest) {
				t.Errorf("Lag = %+v, %v, want %d, %v", got, err, messages, oldest)
			}
		}
		check(0, time.Time{})
		first := time.Now()
		publish(t, b, "", "0")
		time.Sleep(time.Second)
		second := time.Now()
		publish(t, b, "", "1")
		check(2, first)
		ds, _ := receive(t, s, 1)
		check(2, first)
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
		check(1, second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := lagger.Lag(ctx); err == nil {
			t.Error("Lag with an ended context = nil, want its error")
		}
	})
}
