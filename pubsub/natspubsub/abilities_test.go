package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func openAt(t *testing.T, b *natspubsub.Broker, topic, name string, start driver.Start) driver.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: topic, Name: name, Lease: time.Minute, MaxInFlight: 100, Start: start,
	})
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// storedAt returns when the server stored the message of that sequence.
func storedAt(t *testing.T, js jetstream.JetStream, stream string, seq uint64) time.Time {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return m.Time
}

func TestStart(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	send(t, b, "orders", "1", "2", "3")
	second := storedAt(t, js, "orders", 2)
	for name, test := range map[string]struct {
		start driver.Start
		want  []string
	}{
		"end":      {driver.Start{}, []string{"4-end"}},
		"earliest": {driver.Start{Earliest: true, Time: second}, []string{"1", "2", "3"}},
		"time":     {driver.Start{Time: second}, []string{"2", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			topic := "orders"
			s := openAt(t, b, topic, name, test.start)
			if name == "end" {
				send(t, b, topic, "4-end")
			}
			got := receive(t, s, len(test.want))
			if !slices.Equal(got, test.want) {
				t.Errorf("received %v, want %v", got, test.want)
			}
			// It says nothing about a subscription that exists.
			again := openAt(t, b, topic, name, driver.Start{Earliest: true})
			send(t, b, topic, "next-"+name)
			if got := receiveUntil(t, again, "next-"+name); slices.Contains(got, "1") {
				t.Errorf("an open subscription began again: %v", got)
			}
		})
	}
}

// receiveUntil returns what comes up to the message called last.
func receiveUntil(t *testing.T, s driver.Subscription, last string) (all []string) {
	t.Helper()
	for !slices.Contains(all, last) {
		all = append(all, receive(t, s, 1)...)
	}
	return all
}

func TestRedeliver(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	t.Run("ReachesOneSubscriptionAloneAndIsNoCopy", func(t *testing.T) {
		stock, bill := open(t, b, "orders", "stock.eu", time.Minute), open(t, b, "orders", "stock", time.Minute)
		m := driver.Message{ID: "1", Attributes: driver.AttributesOf(map[string]string{"ce-id": "1"}), Data: []byte("1")}
		if err := b.Publish(t.Context(), "orders", []driver.Message{m}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.Redeliver(t.Context(), "orders", "stock.eu", []driver.Message{m}, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		send(t, b, "orders", "last")
		if got, want := receiveUntil(t, stock, "last"), []string{"1", "1", "1", "last"}; !slices.Equal(got, want) {
			t.Errorf("the subscription received %v, want %v", got, want)
		}
		if got, want := receiveUntil(t, bill, "last"), []string{"1", "last"}; !slices.Equal(got, want) {
			t.Errorf("its sibling received %v, want %v", got, want)
		}
	})
	t.Run("ToNobodyIsRefused", func(t *testing.T) {
		err := b.Redeliver(t.Context(), "orders", "nobody", []driver.Message{{ID: "1"}}, 0)
		if !errors.Is(err, jetstream.ErrConsumerNotFound) || !resilience.IsPermanent(err) {
			t.Errorf("Redeliver = %v, want a permanent error: there is no such subscription", err)
		}
	})
	t.Run("SaysWhatAUsersStreamLacks", func(t *testing.T) {
		c := jetstream.StreamConfig{Name: "USERS", Subjects: []string{"users.*"}}
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		open(t, b, "users.new", "mail", time.Minute)
		again := []driver.Message{{ID: "1", Data: []byte("again")}}
		err := b.Redeliver(t.Context(), "users.new", "mail", again, 0)
		if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), `add "users.new.$redeliver.>" to its subjects`) {
			t.Errorf("Redeliver = %v, want a permanent error that says what to add", err)
		}
		s, err := js.Stream(t.Context(), "USERS")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().Config.Subjects; !slices.Equal(got, c.Subjects) {
			t.Errorf("the stream holds %v now, want it left as it was, %v", got, c.Subjects)
		}
		c.Subjects = append(c.Subjects, "users.new.$redeliver.>")
		if _, err := js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		err = b.Redeliver(t.Context(), "users.new", "mail", again, 0)
		if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), "open the subscription again") {
			t.Errorf("Redeliver = %v, want a permanent error: nobody reads it yet", err)
		}
		reopened := open(t, b, "users.new", "mail", time.Minute)
		if err := b.Redeliver(t.Context(), "users.new", "mail", again, 0); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, reopened, 1); got[0] != "again" {
			t.Errorf("received %v, want what was redelivered", got)
		}
	})
}

func TestBrowse(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ALL", Subjects: []string{"dead.>"}})
	if err != nil {
		t.Fatal(err)
	}
	b := natspubsub.New(js, nil)
	for i := range 5 {
		send(t, b, "dead.letters", fmt.Sprint(i))
		send(t, b, "dead.others", fmt.Sprint(i)) // of another topic in the same stream
	}
	s := openAt(t, b, "dead.letters", "s", driver.Start{Earliest: true})
	browse := func(cursor string, n int) (ids []string, ds []*driver.Delivery, next string) {
		t.Helper()
		ds, next, err := b.Browse(t.Context(), "dead.letters", cursor, n)
		if err != nil {
			t.Fatalf("Browse(%q): %v", cursor, err)
		}
		for _, d := range ds {
			ids = append(ids, string(d.Data))
		}
		return ids, ds, next
	}
	got, ds, next := browse("", 3)
	if want := []string{"0", "1", "2"}; !slices.Equal(got, want) || ds[1].Position != "ALL/3" || ds[0].Published.IsZero() {
		t.Errorf("first page %v, at %s, want %v at ALL/3", got, ds[1].Position, want)
	}
	for range 2 { // what is gone already is no error
		if err := b.Remove(t.Context(), "dead.letters", ds[1:2]); err != nil {
			t.Fatalf("Remove: %v", err)
		}
	}
	if got, _, end := browse(next, 3); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("second page %v, want 3 and 4", got)
	} else if got, _, _ := browse(end, 3); len(got) > 0 {
		t.Errorf("after the end %v, want nothing", got)
	}
	if got, _, _ := browse("", 9); !slices.Equal(got, []string{"0", "2", "3", "4"}) {
		t.Errorf("after Remove %v, want all but 1", got)
	}
	if got := receive(t, s, 4); !slices.Equal(got, []string{"0", "2", "3", "4"}) {
		t.Errorf("the subscription received %v, want all but 1", got)
	}
	if ds, _, err := b.Browse(t.Context(), "nowhere", "", 1); err != nil || len(ds) > 0 {
		t.Errorf("Browse of a topic without a stream = %v, %v, want nothing", ds, err)
	}
	if _, _, err := b.Browse(t.Context(), "dead.letters", "x", 1); !resilience.IsPermanent(err) {
		t.Errorf("Browse with a made-up cursor = %v, want a permanent error", err)
	}
}

func TestSeek(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	s := open(t, b, "orders", "stock", time.Minute)
	send(t, b, "orders", "1", "2", "3")
	receive(t, s, 3)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		to   driver.Start
		want []string
	}{
		{"Earliest", driver.Start{Earliest: true}, []string{"1", "2", "3"}},
		{"Time", driver.Start{Time: storedAt(t, js, "orders", 3)}, []string{"3"}},
		{"End", driver.Start{}, []string{"4"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := b.Seek(t.Context(), "orders", "stock", test.to); err != nil {
				t.Fatal(err)
			}
			s := open(t, b, "orders", "stock", time.Minute)
			if test.name == "End" {
				send(t, b, "orders", "4")
			}
			if got := receive(t, s, len(test.want)); !slices.Equal(got, test.want) {
				t.Errorf("received %v, want %v", got, test.want)
			}
		})
	}
	t.Run("OfNobodyIsAnError", func(t *testing.T) {
		if err := b.Seek(t.Context(), "orders", "nobody", driver.Start{}); !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Errorf("Seek = %v, want ErrConsumerNotFound", err)
		}
	})
	t.Run("WhileSomebodyReceivesIsRefused", func(t *testing.T) {
		s := open(t, b, "orders", "stock", time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := s.Receive(ctx, 1)
			ended <- err
		}()
		until(t, "the server holds the request", func() bool {
			c, err := js.Consumer(t.Context(), "orders", "stock-orders")
			return err == nil && c.CachedInfo().NumWaiting > 0
		})
		err := b.Seek(t.Context(), "orders", "stock", driver.Start{})
		if err == nil || !strings.Contains(err.Error(), "1 receivers") {
			t.Errorf("Seek = %v, want an error that counts the receivers", err)
		}
		cancel()
		<-ended
	})
}

// until waits for what has to become true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(patience); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

func TestLag(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	s := open(t, b, "orders", "stock", time.Minute)
	check := func(what string, messages int64, oldest time.Time) {
		t.Helper()
		got, err := s.(driver.Lagger).Lag(t.Context())
		if err != nil || got.Messages != messages || !got.Oldest.Equal(oldest) {
			t.Errorf("%s: Lag = %+v, %v, want %d since %v", what, got, err, messages, oldest)
		}
	}
	check("empty", 0, time.Time{})
	send(t, b, "orders", "1", "2", "3")
	check("undelivered", 3, storedAt(t, js, "orders", 1))
	ds, err := s.Receive(t.Context(), 2)
	for err == nil && len(ds) < 2 {
		var more []*driver.Delivery
		more, err = s.Receive(t.Context(), 2-len(ds))
		ds = append(ds, more...)
	}
	if err != nil {
		t.Fatal(err)
	}
	check("delivered", 3, storedAt(t, js, "orders", 1))
	if err := s.Ack(t.Context(), ds[:1]); err != nil {
		t.Fatal(err)
	}
	until(t, "the acknowledgement is applied", func() bool {
		got, err := s.(driver.Lagger).Lag(t.Context())
		return err == nil && got.Messages == 2
	})
	check("acknowledged", 2, storedAt(t, js, "orders", 2))
}

func TestConfirmedAcknowledgementIsApplied(t *testing.T) {
	js := jetStream(t, startServer(t).conn)
	b := natspubsub.New(js, &natspubsub.Options{ConfirmAcks: true})
	s := open(t, b, "orders", "stock", time.Minute)
	for i := range 20 {
		send(t, b, "orders", fmt.Sprint(i))
		ds, err := s.Receive(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // one that was settled already does nothing
			if err := s.Ack(t.Context(), ds); err != nil {
				t.Fatalf("Ack: %v", err)
			}
			c, err := js.Consumer(t.Context(), "orders", "stock-orders")
			if err != nil {
				t.Fatal(err)
			}
			if got := c.CachedInfo().NumAckPending; got != 0 {
				t.Errorf("%d messages unacknowledged after Ack, want none", got)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	send(t, b, "orders", "last")
	ds, err := s.Receive(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(ctx, ds); !errors.Is(err, context.Canceled) {
		t.Errorf("Ack under a context that ended = %v, want its error: it is not confirmed", err)
	}
	// Nothing was sent: the one behind it is applied, and it is not.
	send(t, b, "orders", "behind")
	receive(t, s, 1)
	c, err := js.Consumer(t.Context(), "orders", "stock-orders")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().NumAckPending; got != 1 {
		t.Errorf("%d messages unacknowledged, want the last one, whose acknowledgement was not to be sent", got)
	}
	if err := js.DeleteConsumer(t.Context(), "orders", "stock-orders"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(t.Context(), ds); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("Ack = %v without a consumer, want ErrNoResponders: nobody applied it", err)
	}
}

func TestConsumerOfSomebodyElse(t *testing.T) {
	js := jetStream(t, startServer(t).conn)
	b := natspubsub.New(js, nil)
	if err := b.Declare(t.Context(), []string{"orders"}); err != nil {
		t.Fatal(err)
	}
	create := func(t *testing.T, name string, c jetstream.ConsumerConfig) {
		t.Helper()
		c.Durable, c.FilterSubject, c.AckPolicy = name+"-orders", "orders", jetstream.AckExplicitPolicy
		if _, err := js.CreateConsumer(t.Context(), "orders", c); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("ThatDoesNotFitIsNamedAndLeftAlone", func(t *testing.T) {
		create(t, "limited", jetstream.ConsumerConfig{MaxDeliver: 3, AckWait: time.Second})
		_, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders", Name: "limited", Lease: time.Minute, MaxInFlight: 1,
		})
		const misfit = "AckWait is 1s, want 1m0s; MaxDeliver is 3, want -1. Change"
		if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), misfit) {
			t.Errorf("Subscribe = %v, want a permanent error that names what does not fit", err)
		}
		c, err := js.Consumer(t.Context(), "orders", "limited-orders")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.CachedInfo().Config; got.MaxDeliver != 3 || got.AckWait != time.Second {
			t.Errorf("the consumer has MaxDeliver %d and AckWait %v now, want 3 and 1s", got.MaxDeliver, got.AckWait)
		}
	})
	t.Run("EachMisfitIsNamed", func(t *testing.T) {
		create(t, "odd", jetstream.ConsumerConfig{
			MaxDeliver: 5, BackOff: []time.Duration{time.Minute, time.Hour}, HeadersOnly: true, InactiveThreshold: time.Hour,
			MaxRequestBatch: 10, MaxRequestExpires: time.Second, PriorityPolicy: jetstream.PriorityPolicyOverflow,
			PriorityGroups: []string{"theirs"},
		})
		_, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders", Name: "odd", Lease: time.Minute, MaxInFlight: 1, Ordered: true,
			Revoke: func([]*driver.Delivery) {},
		})
		const misfit = "BackOff is [1m0s 1h0m0s], want []; MaxDeliver is 5, want -1; " +
			"PriorityPolicy is overflow, want pinned_client; PinnedTTL is 0s, want 2m0s; " +
			"PriorityGroups is [theirs], want [mainstay]; HeadersOnly is true, want false; " +
			"InactiveThreshold is 1h0m0s, want 0s; MaxRequestBatch is 10, want 0; MaxRequestExpires is 1s, want 0s. Change"
		if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), misfit) {
			t.Errorf("Subscribe = %v, want a permanent error that says %q", err, misfit)
		}
	})
	t.Run("OursIsMended", func(t *testing.T) {
		create(t, "ours", jetstream.ConsumerConfig{
			MaxDeliver: 5, BackOff: []time.Duration{time.Minute}, MaxAckPending: 7, HeadersOnly: true,
			InactiveThreshold: time.Hour, MaxRequestBatch: 10, MaxRequestExpires: time.Second,
			Metadata: map[string]string{"mainstay-subscription": "ours"},
		})
		s := open(t, b, "orders", "ours", time.Minute)
		send(t, b, "orders", "data")
		if got := receiveUntil(t, s, "data"); len(got) == 0 {
			t.Error("received nothing")
		}
		c, err := js.Consumer(t.Context(), "orders", "ours-orders")
		if err != nil {
			t.Fatal(err)
		}
		got := c.CachedInfo().Config
		if got.MaxDeliver != -1 || len(got.BackOff) != 0 || got.MaxAckPending != -1 || got.HeadersOnly ||
			got.InactiveThreshold != 0 || got.MaxRequestBatch != 0 || got.MaxRequestExpires != 0 ||
			!slices.Contains(got.FilterSubjects, "orders.$redeliver.ours") {
			t.Errorf("the consumer is %+v, want it as the subscription needs it", got)
		}
	})
	t.Run("ThatFitsIsUsed", func(t *testing.T) {
		create(t, "fits", jetstream.ConsumerConfig{MaxDeliver: -1, AckWait: time.Minute, MaxAckPending: 7})
		s := open(t, b, "orders", "fits", time.Minute)
		send(t, b, "orders", "fits")
		receiveUntil(t, s, "fits")
		c, err := js.Consumer(t.Context(), "orders", "fits-orders")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.CachedInfo().Config.MaxAckPending; got != 7 {
			t.Errorf("MaxAckPending = %d, want it left at 7", got)
		}
	})
}
