package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func ids(ms []*pubsub.Message) string {
	var s []string
	for _, m := range ms {
		s = append(s, m.ID)
	}
	slices.Sort(s)
	return strings.Join(s, "+")
}

// publishAll publishes messages named "KEY ID", in one call.
func (b *bench) publishAll(names ...string) {
	b.t.Helper()
	var ms []*pubsub.Message
	for _, n := range names {
		key, id, _ := strings.Cut(n, " ")
		ms = append(ms, &pubsub.Message{ID: id, Key: key})
	}
	b.publish("orders", ms...)
}

func TestBatch(t *testing.T) {
	t.Run("TakesWhatIsThereUpToItsSize", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			defer run(t, b.client.SubscribeBatch("orders", "stock", func(_ context.Context, ms []*pubsub.Message) error {
				j.note("%s", ids(ms))
				time.Sleep(time.Second)
				return nil
			}, &pubsub.BatchOptions{SubscriptionOptions: pubsub.SubscriptionOptions{Concurrency: 1}, MaxBatch: 3}))()
			b.publishAll(" 1", " 2", " 3", " 4", " 5")
			pass(time.Minute)
			if got, want := j.all(), []string{"1+2+3", "4+5"}; !slices.Equal(got, want) {
				t.Errorf("batches %q, want %q", got, want)
			}
			if n := b.metric("mainstay_pubsub_in_flight_messages"); n != 0 {
				t.Errorf("%v in flight, want 0: all are acknowledged", n)
			}
		})
	})
	t.Run("WaitsAnewAfterAPause", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			began, handled := time.Now(), time.Duration(0)
			sub := b.client.SubscribeBatch("orders", "stock", func(context.Context, []*pubsub.Message) error {
				handled = time.Since(began)
				return nil
			}, &pubsub.BatchOptions{MaxWait: time.Minute})
			defer run(t, sub)()
			b.publishAll(" 1")
			pass(30 * time.Second)
			sub.Pause()
			pass(90 * time.Second)
			sub.Resume()
			pass(time.Hour)
			if want := 3 * time.Minute; handled != want {
				t.Errorf("handled after %v, want %v: a minute after Resume", handled, want)
			}
		})
	})
	t.Run("HoldsEachKeyOnce", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			defer run(t, b.client.SubscribeBatch("orders", "stock", func(_ context.Context, ms []*pubsub.Message) error {
				j.note("%s", ids(ms))
				time.Sleep(time.Second)
				return nil
			}, nil))()
			b.publishAll("a a1", "a a2", "b b1", "a a3", "b b2")
			pass(time.Minute)
			if got, want := j.all(), []string{"a1+b1", "a2+b2", "a3"}; !slices.Equal(got, want) {
				t.Errorf("batches %q, want %q", got, want)
			}
		})
	})
	t.Run("WaitsToFill", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *bench) {
			j := &journal{}
			began := time.Now()
			stop := run(t, b.client.SubscribeBatch("orders", "stock", func(_ context.Context, ms []*pubsub.Message) error {
				j.note("%s at %v", ids(ms), time.Since(began))
				return nil
			}, &pubsub.BatchOptions{MaxBatch: 3, MaxWait: 61500 * time.Millisecond}))
			b.publishAll(" 1")
			pass(10 * time.Second)
			b.publishAll(" 2", " 3")
			pass(10 * time.Second)
			b.publishAll(" 4")
			pass(time.Hour)
			if got, want := j.all(), []string{"1+2+3 at 10s", "4 at 1m21.5s"}; !slices.Equal(got, want) {
				t.Errorf("batches %q, want %q", got, want)
			}
			b.publishAll(" 5")
			pass(time.Second)
			began = time.Now()
			if err := stop(); err != nil || time.Since(began) != 0 {
				t.Errorf("Run = %v after %v, want nil at once: what waits is given back", err, time.Since(began))
			}
		})
	})
}

func TestBatchFailures(t *testing.T) {
	boom, permanent := errors.New("boom"), resilience.Permanent(errors.New("no"))
	tests := map[string]struct {
		handle func([]*pubsub.Message) error // of the first batch, 1+2+3; later ones succeed
		retry  string                        // what is handled again
		dead   string
	}{
		"None":       {func([]*pubsub.Message) error { return nil }, "", ""},
		"All":        {func([]*pubsub.Message) error { return boom }, "1+2+3", ""},
		"AllForGood": {func([]*pubsub.Message) error { return permanent }, "", "1+2+3"},
		"Some":       {func([]*pubsub.Message) error { return &pubsub.BatchError{Failed: map[int]error{1: boom, 2: permanent}} }, "2", "3"},
		"NoCause":    {func([]*pubsub.Message) error { return &pubsub.BatchError{Failed: map[int]error{1: nil}} }, "2", ""},
		"NoCauseBesidePermanent": {func([]*pubsub.Message) error {
			return &pubsub.BatchError{Failed: map[int]error{0: permanent, 1: nil}}
		}, "2", "1"},
		"NotThereBesidePermanent": {func([]*pubsub.Message) error {
			return &pubsub.BatchError{Failed: map[int]error{0: permanent, 7: permanent}}
		}, "2+3", "1"},
		"NoneNamed": {func([]*pubsub.Message) error { return &pubsub.BatchError{} }, "1+2+3", ""},
		"NotThere":  {func([]*pubsub.Message) error { return &pubsub.BatchError{Failed: map[int]error{0: boom, 3: boom}} }, "1+2+3", ""},
		"Wrapped": {func([]*pubsub.Message) error {
			return fmt.Errorf("insert: %w", &pubsub.BatchError{Failed: map[int]error{0: boom}})
		}, "1+2+3", ""},
		"Panic":  {func([]*pubsub.Message) error { panic("oh no") }, "1+2+3", ""},
		"Goexit": {func([]*pubsub.Message) error { runtime.Goexit(); return nil }, "1+2+3", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := &mempubsub.Broker{}
				b := newBench(t, broker)
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				retried := &journal{}
				first := true
				stop := run(t, b.client.SubscribeBatch("orders", "stock", func(_ context.Context, ms []*pubsub.Message) error {
					if first {
						first = false
						return tt.handle(ms)
					}
					for _, m := range ms {
						retried.note("%s %d", m.ID, m.Attempt)
					}
					return nil
				}, &pubsub.BatchOptions{SubscriptionOptions: pubsub.SubscriptionOptions{Concurrency: 1}}))
				defer stop()
				b.publishAll("a 1", "b 2", "c 3")
				pass(time.Hour)
				var want []string
				if tt.retry != "" {
					for _, id := range strings.Split(tt.retry, "+") {
						want = append(want, id+" 2")
					}
				}
				got := retried.all()
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("handled again: %q, want %q", got, want)
				}
				if got := ids(letters()); got != tt.dead {
					t.Errorf("dead letters %q, want %q", got, tt.dead)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if n := pending(t, broker); n != 0 {
					t.Errorf("%d messages are pending, want 0", n)
				}
			})
		})
	}
}

func TestBatchOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &mempubsub.Broker{})
		topic := pubsub.NewTopic[int]("orders", nil)
		letters, stopLetters := b.collect(deadTopic)
		defer stopLetters()
		j := &journal{}
		defer run(t, topic.SubscribeBatch(b.client, "stock", func(_ context.Context, events []pubsub.Received[int]) error {
			var failed map[int]error
			for i, e := range events {
				j.note("%s=%d", e.Message.ID, e.Event)
				if e.Event == 3 {
					failed = map[int]error{i: resilience.Permanent(errors.New("three"))}
				}
			}
			if failed != nil {
				return &pubsub.BatchError{Failed: failed}
			}
			return nil
		}, nil))()
		b.publish("orders", &pubsub.Message{ID: "a", Data: []byte("1")}, &pubsub.Message{ID: "bad", Data: []byte("{")},
			&pubsub.Message{ID: "b", Data: []byte("2")}, &pubsub.Message{ID: "c", Data: []byte("3")}, &pubsub.Message{ID: "d", Data: []byte("4")})
		pass(time.Hour)
		if got := j.all(); !slices.Equal(got, []string{"a=1", "b=2", "c=3", "d=4"}) {
			t.Errorf("handled %q, want what decodes, once", got)
		}
		if got := ids(letters()); got != "bad+c" {
			t.Errorf("dead letters %q, want bad+c", got)
		}
	})
}

func TestBatchHasOneSpanWithLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{
			Registerer:     prometheus.NewRegistry(),
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
		})
		stop := run(t, client.SubscribeBatch("orders", "stock", func(context.Context, []*pubsub.Message) error { return nil }, nil))
		if err := client.Publish(t.Context(), "orders", &pubsub.Message{}, &pubsub.Message{}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		sent := map[string]bool{}
		var process []sdktrace.ReadOnlySpan
		for _, s := range spans.Ended() {
			if s.Name() == "process orders" {
				process = append(process, s)
			} else {
				sent[s.SpanContext().SpanID().String()] = true
			}
		}
		if len(process) != 1 || len(process[0].Links()) != 2 {
			t.Fatalf("%d process spans, want one with 2 links", len(process))
		}
		for _, l := range process[0].Links() {
			if !sent[l.SpanContext.SpanID().String()] {
				t.Errorf("linked to %v, which is no span that published", l.SpanContext.SpanID())
			}
		}
	})
}

func TestBatchRefusesBadArguments(t *testing.T) {
	client := newBench(t, &mempubsub.Broker{}).client
	ok := func(context.Context, []*pubsub.Message) error { return nil }
	same := func(next pubsub.Handler) pubsub.Handler { return next }
	for want, sub := range map[string]*pubsub.Subscription{
		"handler":     client.SubscribeBatch("orders", "stock", nil, nil),
		"MaxBatch":    client.SubscribeBatch("orders", "stock", ok, &pubsub.BatchOptions{MaxBatch: -1}),
		"Middleware":  client.SubscribeBatch("orders", "stock", ok, &pubsub.BatchOptions{SubscriptionOptions: pubsub.SubscriptionOptions{Middleware: []pubsub.Middleware{same}}}),
		"Concurrency": client.SubscribeBatch("orders", "stock", ok, &pubsub.BatchOptions{SubscriptionOptions: pubsub.SubscriptionOptions{Concurrency: -1}}),
	} {
		var invalid *pubsub.InvalidError
		if err := sub.Run(t.Context()); !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want an *InvalidError that names %s", err, want)
		}
	}
}

// TestBatchOfARevokedKey: the rest of a batch is not touched.
func TestBatchOfARevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newSeat()
		stop := run(t, newBench(t, broker).client.SubscribeBatch("orders", "stock", func(context.Context, []*pubsub.Message) error {
			time.Sleep(time.Second)
			return nil
		}, nil))
		ds := broker.give("a 1", "a 2", "b 3", "b 4")
		synctest.Wait()
		broker.opened().Revoke([]*driver.Delivery{ds[0]})
		pass(time.Minute)
		got := broker.settled.all()
		slices.Sort(got)
		if want := []string{"ack 1", "ack 3", "ack 4", "release 0s 2"}; !slices.Equal(got, want) {
			t.Errorf("settled %q, want %q", got, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
