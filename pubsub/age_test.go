package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestMaxAge(t *testing.T) {
	tests := []struct {
		name   string
		age    time.Duration
		want   []string // times of the attempts, from when the subscription began
		reason string
	}{
		// Every pause is 10m: the third attempt would come later than 15m after the first.
		{"EndsTheAttempts", 15 * time.Minute, []string{"0s", "10m0s"}, "expired"},
		{"IncludesItsEnd", 20 * time.Minute, []string{"0s", "10m0s", "20m0s"}, "expired"},
		{"MayAllowOneOnly", time.Minute, []string{"0s"}, "expired"},
		{"IsUnboundedByDefault", 0, []string{"0s", "10m0s", "20m0s", "30m0s"}, "exhausted"},
		{"IsUnboundedWhereNegative", -1, []string{"0s", "10m0s", "20m0s", "30m0s"}, "exhausted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				runs := &journal{}
				o := &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 4, MaxAge: tt.age}}
				began := time.Now()
				stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
					runs.note("%v", time.Since(began))
					return resilience.RetryAfter(10*time.Minute, errors.New("boom"))
				}, o))
				defer stop()
				// It happened long ago: only its attempts count.
				b.publish("orders", &pubsub.Message{ID: "1", Time: time.Now().Add(-48 * time.Hour)})
				pass(12 * time.Hour)
				if got := runs.all(); !slices.Equal(got, tt.want) {
					t.Errorf("attempts at %v, want %v", got, tt.want)
				}
				got := letters()
				if len(got) != 1 || got[0].DeadLetter.Reason != tt.reason || got[0].DeadLetter.Attempts != len(tt.want) {
					t.Fatalf("dead letters %v, want one, %s after %d attempts", got, tt.reason, len(tt.want))
				}
				if n := b.metric("mainstay_pubsub_dead_letters_total", "reason", tt.reason); n != 1 {
					t.Errorf("counted %v as %s, want 1", n, tt.reason)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestDeadLetterSaysWhatHappened(t *testing.T) {
	classes := map[string]struct {
		err     error
		class   string
		attempt int
	}{
		"Other":     {errors.New("boom"), "_OTHER", 3},
		"Timeout":   {fmt.Errorf("call: %w", context.DeadlineExceeded), "timeout", 3},
		"Permanent": {resilience.Permanent(errors.New("boom")), "permanent", 1},
		"Decode":    {&pubsub.DecodeError{Topic: "orders", Err: errors.New("boom")}, "decode", 1},
	}
	for name, tt := range classes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, &mempubsub.Broker{})
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				var sent string
				defer run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
					sent = m.Trace.Get("traceparent")
					time.Sleep(time.Second)
					return tt.err
				}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 3, MinBackoff: time.Minute, MaxBackoff: time.Minute}}))()
				began := time.Now()
				b.publish("orders", &pubsub.Message{ID: "1", Trace: driver.AttributesOf(map[string]string{
					"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
				})})
				pass(time.Hour)
				got := letters()
				if len(got) != 1 {
					t.Fatalf("%d dead letters, want 1", len(got))
				}
				l := got[0].DeadLetter
				if l.Class != tt.class || l.Attempts != tt.attempt {
					t.Errorf("DeadLetter = %+v, want class %q after %d attempts", l, tt.class, tt.attempt)
				}
				if first := l.FirstFailed.Sub(began); first != time.Second {
					t.Errorf("FirstFailed is %v after the publish, want 1s", first)
				}
				if last := l.Time.Sub(l.FirstFailed); (tt.attempt == 1) != (last == 0) {
					t.Errorf("given up %v after the first failure, in %d attempts", last, tt.attempt)
				}
				if tp := got[0].Trace.Get("traceparent"); sent == "" || tp != sent {
					t.Errorf("the dead letter's trace is %q, want the original's %q", tp, sent)
				}
			})
		})
	}
}
