package natspubsub_test

import (
	"context"
	"errors"
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
