package natspubsub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestStreams(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	t.Run("ThatHoldTheSubjectAreUsed", func(t *testing.T) {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVERYTHING", Subjects: []string{"shared.>"}})
		if err != nil {
			t.Fatal(err)
		}
		b := natspubsub.New(js, nil)
		one, two := open(t, b, "shared.one", "s", time.Minute), open(t, b, "shared.two", "s", time.Minute)
		// One ID under two topics is two messages.
		send(t, b, "shared.one", "1")
		send(t, b, "shared.two", "1")
		send(t, b, "shared.two", "2")
		if got := receive(t, one, 1); got[0] != "1" {
			t.Errorf("shared.one: %v", got)
		}
		if got := receive(t, two, 2); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("shared.two: %v", got)
		}
	})
	t.Run("AreMadeAsOptionsSay", func(t *testing.T) {
		b := natspubsub.New(js, &natspubsub.Options{Stream: func(topic string, c *jetstream.StreamConfig) {
			c.Name, c.Storage, c.Subjects = "MINE", jetstream.MemoryStorage, append(c.Subjects, "other")
		}})
		if err := b.Declare(t.Context(), []string{"mine", "mine", "other"}); err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), "MINE")
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		if c.Storage != jetstream.MemoryStorage ||
			!slices.Equal(c.Subjects, []string{"mine", "mine.$redeliver.>", "other"}) ||
			c.MaxAge != 7*24*time.Hour || c.Duplicates != 2*time.Minute {
			t.Errorf("stream %+v, want our changes and the other defaults", c)
		}
	})
	t.Run("OfACollidingNameAreRefused", func(t *testing.T) {
		b := natspubsub.New(js, nil)
		if err := b.Declare(t.Context(), []string{"a.b"}); err != nil {
			t.Fatal(err)
		}
		err := b.Declare(t.Context(), []string{"a_b"})
		if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), `stream "a_b" exists`) {
			t.Errorf("Declare = %v, want a permanent error that names the stream", err)
		}
	})
	t.Run("WithoutTheTopicAreRefused", func(t *testing.T) {
		b := natspubsub.New(js, &natspubsub.Options{
			Stream: func(_ string, c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} },
		})
		if err := b.Declare(t.Context(), []string{"here"}); !resilience.IsPermanent(err) {
			t.Errorf("Declare = %v, want a permanent error", err)
		}
	})
	t.Run("AreMadeOnceByMany", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := natspubsub.New(js, nil).Declare(t.Context(), []string{"raced"}); err != nil {
					t.Errorf("Declare: %v", err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("DropASecondCopy", func(t *testing.T) {
		b := natspubsub.New(js, nil)
		s := open(t, b, "dedupe", "s", time.Minute)
		send(t, b, "dedupe", "1", "1", "2", "1")
		if got := receive(t, s, 2); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("received %v, want 1 and 2 once", got)
		}
	})
}

func TestAStreamThatKeepsLessIsNamed(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	ours := natspubsub.New(js, &natspubsub.Options{Logger: logger})
	if err := ours.Declare(t.Context(), []string{"ours"}); err != nil {
		t.Fatal(err)
	}
	asked := &natspubsub.Options{Logger: logger, Stream: func(topic string, c *jetstream.StreamConfig) {
		c.Subjects = append(c.Subjects, topic+".*", topic+"-too.>")
		c.Discard, c.MaxMsgs, c.MaxBytes, c.MaxMsgsPerSubject = jetstream.DiscardNew, 1000, 1<<20, 100
	}}
	more := jetstream.StreamConfig{
		Name: "more", Subjects: []string{"more", "more.>", "more-too.>"}, Discard: jetstream.DiscardNew, MaxMsgs: 1001,
		Duplicates: time.Hour, AllowDirect: true,
	}
	less := jetstream.StreamConfig{
		Name: "less", Subjects: []string{"less", "less.*", "less-too.*"}, Retention: jetstream.InterestPolicy,
		MaxAge: time.Hour, MaxMsgs: 999, MaxBytes: 1<<20 - 1, MaxMsgsPerSubject: 1, Duplicates: time.Minute,
		Storage: jetstream.MemoryStorage, NoAck: true,
	}
	for _, c := range []jetstream.StreamConfig{more, less} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	b := natspubsub.New(js, asked)
	if err := errors.Join(b.Declare(t.Context(), []string{"more"}),
		natspubsub.New(js, &natspubsub.Options{Logger: logger}).Declare(t.Context(), []string{"ours"})); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s, want nothing of streams that keep as much, or more", &log)
	}
	if err := b.Declare(t.Context(), []string{"less", "less"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"topic=less stream=less",
		`Subjects lack \"less.$redeliver.>\"`, `Subjects lack \"less-too.>\"`, "Retention is Interest, want Limits",
		"Discard is DiscardOld, want DiscardNew", "MaxAge is 1h0m0s, want 168h0m0s", "MaxMsgs is 999, want 1000",
		"MaxBytes is 1048575, want 1048576", "MaxMsgsPerSubject is 1, want 100", "Duplicates is 1m0s, want 2m0s",
		"Storage is Memory, want File", "NoAck is true, want false",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("logged %s, want %s in it", &log, want)
		}
	}
	if got := log.String(); strings.Count(got, ";") != 10 || strings.Count(got, "\n") != 1 {
		t.Errorf("logged %s, want these differences alone, once", got)
	}
	if s, err := js.Stream(t.Context(), "less"); err != nil || s.CachedInfo().Config.MaxAge != time.Hour {
		t.Errorf("stream %v, %v, want it as it was", s, err)
	}
	// It is looked at again, and has nothing new to say, until it changes.
	for range 2 {
		err := b.Publish(t.Context(), "less", []driver.Message{{ID: "1"}, {ID: "2"}})
		if _, partly := errors.AsType[*driver.PublishError](err); !resilience.IsPermanent(err) || partly ||
			!strings.Contains(err.Error(), `stream "less" of "less" has NoAck`) {
			t.Errorf("Publish = %v, want a permanent error: it would never be confirmed", err)
		}
	}
	if got := strings.Count(log.String(), "\n"); got != 1 {
		t.Errorf("%d lines are logged, want 1", got)
	}
	less.NoAck = false
	if _, err := js.UpdateStream(t.Context(), less); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), "less", []driver.Message{{ID: "1"}, {ID: "2"}}); err != nil {
		t.Errorf("Publish = %v once the stream confirms, want nil", err)
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || strings.Count(got, "NoAck") != 1 {
		t.Errorf("logged %s, want a second line, without what was mended", got)
	}
}

func TestConsumersOfCollidingNamesAreRefused(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	open(t, b, "orders", "a.b", time.Minute)
	_, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "orders", Name: "a_b", Lease: time.Minute, MaxInFlight: 1,
	})
	if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), `belongs to subscription "a.b"`) {
		t.Errorf("Subscribe = %v, want a permanent error that names the owner", err)
	}
}

func TestWhatIsDeletedIsMadeAgain(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	for what, remove := range map[string]func(topic string) error{
		"consumer": func(topic string) error { return js.DeleteConsumer(t.Context(), topic, "stock-"+topic) },
		"stream":   func(topic string) error { return js.DeleteStream(t.Context(), topic) },
	} {
		for _, when := range []string{"waiting", "idle"} {
			t.Run(what+"/"+when, func(t *testing.T) {
				topic := what + "-" + when
				s := open(t, b, topic, "stock", time.Minute)
				send(t, b, topic, "1", "2")
				receive(t, s, 2)
				received := make(chan []string, 1)
				if when == "waiting" {
					var wg sync.WaitGroup
					defer wg.Wait()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					wg.Go(func() {
						got, err := tryReceive(ctx, s, 2)
						if err != nil {
							t.Errorf("received %v, then %v", got, err)
						}
						received <- got
					})
					<-time.After(100 * time.Millisecond) // most likely; either order has to work
				}
				if err := remove(topic); err != nil {
					t.Fatal(err)
				}
				// The first publish may find out that the stream is gone, or be swallowed by one that is going; the
				// next one makes it again.
				if err := b.Publish(t.Context(), topic, []driver.Message{{ID: "3", Data: []byte("3")}}); err != nil {
					var unsure *driver.PublishError
					if !errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.As(err, &unsure) {
						t.Fatal(err)
					}
					send(t, b, topic, "3")
				}
				send(t, b, topic, "4")
				if when == "idle" {
					received <- receive(t, s, 2)
				}
				if got := <-received; !slices.Equal(got, []string{"3", "4"}) {
					t.Errorf("received %v, want 3 and 4, nothing lost and nothing twice", got)
				}
			})
		}
	}
}
