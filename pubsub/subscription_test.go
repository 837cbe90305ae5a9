package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
	"github.com/mainstay-go/mainstay/resilience"
)

const deadTopic = "orders.dead-letter.stock"

// pending reports how many messages of topic "orders" subscription "stock" has not acknowledged, once their leases
// have ended.
func pending(t *testing.T, b driver.Broker) int {
	t.Helper()
	time.Sleep(time.Hour)
	sub, err := b.Subscribe(t.Context(), driver.SubscribeOptions{Topic: "orders", Name: "stock", Lease: time.Minute, MaxInFlight: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	ds, _ := sub.Receive(ctx, 1000)
	return len(ds)
}

func TestAttempts(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name   string
		err    error // of every attempt
		o      pubsub.SubscriptionOptions
		runs   int
		reason string
		text   string
	}{
		{"AreCountedExactly", boom, pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 4}}, 4, "exhausted", "boom"},
		{"AreTenByDefault", boom, pubsub.SubscriptionOptions{}, 10, "exhausted", "boom"},
		{"EndWithAPermanentError", fmt.Errorf("wrapped: %w", resilience.Permanent(boom)), pubsub.SubscriptionOptions{}, 1, "permanent", "wrapped: boom"},
		{"EndWithAnErrorThatSaysSo", &pubsub.DecodeError{Topic: "orders", Err: boom}, pubsub.SubscriptionOptions{}, 1, "permanent", `pubsub: decode "orders": boom`},
		{"MayHaveNoPause", boom, pubsub.SubscriptionOptions{Retry: pubsub.Retry{MinBackoff: -1}}, 10, "exhausted", "boom"},
		{"KeepTheErrorToOneCleanLine", errors.New("a\r\nX-Evil: 1\x00" + strings.Repeat("ü", 2000)),
			pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 1}}, 1, "exhausted", "a  X-Evil: 1 " + strings.Repeat("ü", 505)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := &mempubsub.Broker{}
				b := newBench(t, broker)
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				runs := &journal{}
				stop := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
					runs.note("%d", m.Attempt)
					return tt.err
				}, &tt.o))
				b.publish("orders", &pubsub.Message{ID: "m-1", Key: "k", Data: []byte("\x00body\xff"), Metadata: map[string]string{"user": "u"}})
				pass(time.Hour)
				if err := stop(); err != nil {
					t.Errorf("Run = %v, want nil", err)
				}
				if got := runs.all(); len(got) != tt.runs || got[len(got)-1] != fmt.Sprint(tt.runs) {
					t.Errorf("attempts %v, want 1 to %d", got, tt.runs)
				}
				got := letters()
				if len(got) != 1 {
					t.Fatalf("%d dead letters, want 1", len(got))
				}
				l := got[0]
				if string(l.Data) != "\x00body\xff" || l.ID != "m-1" || l.Key != "k" || l.Type != "orders" ||
					l.Source != "/test" || l.Metadata["user"] != "u" {
					t.Errorf("dead letter is %+v, want the original's attributes and bytes", l)
				}
				d := l.DeadLetter
				if d == nil {
					t.Fatal("DeadLetter is nil")
				}
				if d.Topic != "orders" || d.Subscription != "stock" || d.Attempts != tt.runs || d.Error != tt.text ||
					d.Reason != tt.reason || d.Position != "orders/1" || d.Time.IsZero() {
					t.Errorf("DeadLetter = %+v, want orders, stock, %d attempts, %q, %s", d, tt.runs, tt.text, tt.reason)
				}
				if n := pending(t, broker); n != 0 {
					t.Errorf("%d messages are pending at the source, want 0", n)
				}
				if n := b.metric("mainstay_pubsub_retries_total", "topic", "orders", "subscription", "stock"); n != float64(tt.runs-1) {
					t.Errorf("retries counted: %v, want %d", n, tt.runs-1)
				}
				if n := b.metric("mainstay_pubsub_dead_letters_total", "topic", "orders", "reason", tt.reason); n != 1 {
					t.Errorf("dead letters counted: %v, want 1", n)
				}
				if n := b.metric("mainstay_pubsub_in_flight_messages"); n != 0 {
					t.Errorf("in flight: %v, want 0", n)
				}
			})
		})
	}
}

func TestUnboundedAttempts(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		runs := &journal{}
		defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			runs.note("%d", m.Attempt)
			if m.Attempt < 50 {
				return errors.New("not yet")
			}
			return nil
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: -1}}))()
		b.publish("orders", &pubsub.Message{})
		pass(time.Hour)
		if got := len(runs.all()); got != 50 {
			t.Errorf("the handler ran %d times, want 50", got)
		}
	})
}

// TestEachAttemptHasItsOwnMessage: a handler may leave a goroutine that still reads the message of its attempt.
func TestEachAttemptHasItsOwnMessage(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		var kept []*pubsub.Message
		stop := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			kept = append(kept, m)
			for i, m := range kept {
				if m.Attempt != i+1 {
					t.Errorf("at attempt %d, the message of attempt %d says attempt %d", len(kept), i+1, m.Attempt)
				}
			}
			if len(kept) < 3 {
				return errors.New("not yet")
			}
			return nil
		}, nil))
		b.publish("orders", &pubsub.Message{})
		pass(time.Hour)
		if err := stop(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if got := len(kept); got != 3 {
			t.Errorf("the handler ran %d times, want 3", got)
		}
	})
}

func TestHandlersThatDoNotReturn(t *testing.T) {
	handlers := map[string]pubsub.Handler{
		"Panic":      func(context.Context, *pubsub.Message) error { panic("oh no") },
		"NilPanic":   func(context.Context, *pubsub.Message) error { panic(nil) }, //nolint:govet // the case itself
		"Goexit":     func(context.Context, *pubsub.Message) error { runtime.Goexit(); return nil },
		"RunOver":    func(ctx context.Context, _ *pubsub.Message) error { <-ctx.Done(); return ctx.Err() },
		"ErrorPanic": func(context.Context, *pubsub.Message) error { panic(errors.New("an error")) },
	}
	kinds := map[string]string{"Panic": "panic", "NilPanic": "panic", "Goexit": "_OTHER", "RunOver": "timeout", "ErrorPanic": "panic"}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				stop := run(t, b.client.Subscribe("orders", "stock", h, &pubsub.SubscriptionOptions{
					Retry: pubsub.Retry{MaxAttempts: 2}, HandlerTimeout: time.Second,
				}))
				b.publish("orders", &pubsub.Message{ID: "1"}, &pubsub.Message{ID: "2"})
				pass(time.Hour)
				if got := letters(); len(got) != 2 || got[0].DeadLetter.Attempts != 2 {
					t.Errorf("%d dead letters, want 2 of 2 attempts: it counts as a failure", len(got))
				}
				if err := stop(); err != nil {
					t.Errorf("Run = %v, want nil", err)
				}
				if n := b.metric("messaging_process_duration_seconds", "error_type", kinds[name],
					"messaging_destination_name", "orders", "messaging_consumer_group_name", "stock"); n != 4 {
					t.Errorf("attempts of error type %q: %v, want 4", kinds[name], n)
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	tests := []struct {
		name        string
		asked, want time.Duration
	}{
		{"IsKept", 7 * time.Minute, 7 * time.Minute},
		{"IsBounded", 24 * time.Hour, 15 * time.Minute},
		{"MayBeNone", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				runs := &journal{}
				began := time.Now()
				defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
					runs.note("%v", time.Since(began))
					if m.Attempt == 1 {
						return resilience.RetryAfter(tt.asked, errors.New("busy"))
					}
					return nil
				}, nil))()
				b.publish("orders", &pubsub.Message{})
				pass(48 * time.Hour)
				if got := runs.all(); len(got) != 2 || got[1] != tt.want.String() {
					t.Errorf("attempts at %v, want the second at %v", got, tt.want)
				}
			})
		})
	}
}

func TestDeadLetterThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := &mempubsub.Broker{}
		broker := pubsubtest.NewFaulty(mem, pubsubtest.FaultOptions{FailFirst: map[string]int{deadTopic: 3}})
		b := newBench(t, broker)
		letters, stopLetters := b.collect(deadTopic)
		defer stopLetters()
		runs := &journal{}
		stop := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			runs.note("%s", m.ID)
			if m.ID == "poison" {
				return errors.New("boom")
			}
			return nil
		}, &pubsub.SubscriptionOptions{Lease: time.Second, Retry: pubsub.Retry{MaxAttempts: 2, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}}))
		b.publish("orders", &pubsub.Message{ID: "poison", Key: "k"}, &pubsub.Message{ID: "next", Key: "k"})
		pass(1400 * time.Millisecond) // three tries at the earliest; each pause is at least 500ms
		if n := broker.Faults().FailedPublishes; n > 3 {
			t.Errorf("%d tries to store the dead letter in 1.4s, want at most 3: no hot loop", n)
		}
		if got := runs.all(); len(got) != 2 {
			t.Errorf("handled %v while the dead letter was not stored, want poison twice: its key waits", got)
		}
		pass(time.Hour)
		if got := letters(); len(got) != 1 || got[0].ID != "poison" {
			t.Errorf("dead letters %v, want poison once", got)
		}
		if got := strings.Join(runs.all(), " "); got != "poison poison next" {
			t.Errorf("handled %q, want poison twice and then next", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := pending(t, mem); n != 0 {
			t.Errorf("%d messages are pending, want 0", n)
		}
	})
}

// sizeLimit is a broker that refuses messages of more than limit bytes, attributes included.
type sizeLimit struct {
	driver.Broker
	limit int
}

func (b sizeLimit) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	for _, m := range ms {
		n := len(m.Data)
		for _, a := range m.Attributes {
			n += len(a.Name) + len(a.Value)
		}
		if n > b.limit {
			return &driver.TooLargeError{Bytes: n, Limit: b.limit}
		}
	}
	return b.Broker.Publish(ctx, topic, ms)
}

func TestDeadLetterOfAMessageThatJustFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, sizeLimit{&mempubsub.Broker{}, 1200})
		letters, stopLetters := b.collect(deadTopic)
		defer stopLetters()
		defer run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
			return resilience.Permanent(errors.New("boom"))
		}, nil))()
		body := strings.Repeat("x", 1000)
		b.publish("orders", &pubsub.Message{ID: "1", Data: []byte(body)})
		pass(time.Hour)
		if got := letters(); len(got) != 1 || string(got[0].Data) != body || got[0].ID != "1" {
			t.Errorf("dead letters %v, want the original bare", got)
		}
	})
}

func TestMessageThatEndsItsConsumers(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		letters, stopLetters := b.collect(deadTopic)
		defer stopLetters()
		// Each process dies while it holds the message: here, it stops in the middle of the handler.
		runs := &journal{}
		stopped := errors.New("stopped")
		stuck := func(ctx context.Context, m *pubsub.Message) error {
			runs.note("%d", m.Attempt)
			<-ctx.Done()
			return stopped
		}
		o := &pubsub.SubscriptionOptions{DrainTimeout: -1, HandlerTimeout: -1, Retry: pubsub.Retry{MaxAttempts: 2}}
		stop := run(t, b.client.Subscribe("orders", "stock", stuck, o))
		b.publish("orders", &pubsub.Message{ID: "killer"})
		pass(time.Second)
		for range 15 {
			stop()
			stop = run(t, b.client.Subscribe("orders", "stock", stuck, o))
			pass(time.Second)
		}
		stop()
		if got := len(runs.all()); got != 12 {
			t.Errorf("the handler was begun %d times, want MaxAttempts + 10", got)
		}
		if got := letters(); len(got) != 1 || got[0].DeadLetter.Reason != "deliveries" || got[0].DeadLetter.Attempts != 12 {
			for _, l := range got {
				t.Errorf("dead letter %+v, want one for its deliveries, after 12", l.DeadLetter)
			}
		}
	})
}

func TestMiddlewareIsOutermostFirst(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		j := &journal{}
		wrap := func(name string) pubsub.Middleware {
			return func(next pubsub.Handler) pubsub.Handler {
				return func(ctx context.Context, m *pubsub.Message) error {
					j.note("%s in", name)
					defer j.note("%s out", name)
					return next(ctx, m)
				}
			}
		}
		defer run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
			j.note("handler")
			return nil
		}, &pubsub.SubscriptionOptions{Middleware: []pubsub.Middleware{wrap("a"), wrap("b")}}))()
		b.publish("orders", &pubsub.Message{})
		pass(time.Second)
		if got, want := strings.Join(j.all(), ", "), "a in, b in, handler, b out, a out"; got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
	})
}

func TestRunRefusesBadArguments(t *testing.T) {
	ok := func(context.Context, *pubsub.Message) error { return nil }
	client := newBench(t, &mempubsub.Broker{}).client
	tests := []struct {
		name string
		sub  *pubsub.Subscription
		want string
	}{
		{"Topic", client.Subscribe("a..b", "s", ok, nil), `topic "a..b"`},
		{"NoTopic", client.Subscribe("", "s", ok, nil), `topic ""`},
		{"Wildcard", client.Subscribe("orders.>", "s", ok, nil), `topic "orders.>"`},
		{"Name", client.Subscribe("t", "a b", ok, nil), `subscription "a b"`},
		{"LongName", client.Subscribe("t", strings.Repeat("n", 65), ok, nil), "1 to 64"},
		{"LongDeadLetter", client.Subscribe(strings.Repeat("t", 240), "name", ok, nil), "DeadLetter"},
		{"Handler", client.Subscribe("t", "s", nil, nil), "handler is nil"},
		{"Concurrency", client.Subscribe("t", "s", ok, &pubsub.SubscriptionOptions{Concurrency: -1}), "Concurrency"},
		{"MaxInFlight", client.Subscribe("t", "s", ok, &pubsub.SubscriptionOptions{MaxInFlight: -1}), "MaxInFlight"},
		{"Lease", client.Subscribe("t", "s", ok, &pubsub.SubscriptionOptions{Lease: time.Millisecond}), "Lease"},
		{"MaxBackoff", client.Subscribe("t", "s", ok, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxBackoff: -1}}), "MaxBackoff"},
		{"HotLoop", client.Subscribe("t", "s", ok, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: -1, MinBackoff: -1}}), "Retry"},
		{"DeadLetterLoop", client.Subscribe("t", "s", ok, &pubsub.SubscriptionOptions{DeadLetter: "t"}), "DeadLetter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.sub.Run(t.Context())
			var invalid *pubsub.InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), tt.want) || !resilience.IsPermanent(err) {
				t.Errorf("Run = %v, want a permanent *InvalidError that says %q", err, tt.want)
			}
		})
	}
	t.Run("Twice", func(t *testing.T) {
		s := client.Subscribe("t", "s", ok, nil)
		if err := run(t, s)(); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `subscription "s" of "t"`) {
			t.Errorf("a second Run = %v, want an error that names the subscription", err)
		}
	})
}
