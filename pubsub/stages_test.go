package pubsub_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestAttemptHasAContextOfItsOwn(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"Bounded": time.Minute, "Unbounded": -1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				var attempts []context.Context
				defer run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, _ *pubsub.Message) error {
					if err := ctx.Err(); err != nil {
						t.Errorf("attempt %d begins with a context that ended: %v", len(attempts)+1, err)
					}
					for i, c := range attempts {
						if c.Err() == nil {
							t.Errorf("the context of attempt %d has not ended with it", i+1)
						}
					}
					attempts = append(attempts, ctx)
					return errors.New("boom")
				}, &pubsub.SubscriptionOptions{HandlerTimeout: timeout, Retry: pubsub.Retry{MaxAttempts: 3}}))()
				b.publish("orders", &pubsub.Message{ID: "1"})
				pass(time.Hour)
				if len(attempts) != 3 {
					t.Errorf("%d attempts, want 3", len(attempts))
				}
			})
		})
	}
}

// slowTopic is a broker that takes its time to store messages of one topic, and gives up when the context ends.
type slowTopic struct {
	driver.Broker
	topic string
	takes time.Duration
}

func (b slowTopic) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	if topic == b.topic {
		select {
		case <-time.After(b.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return b.Broker.Publish(ctx, topic, ms)
}

// TestDeadLetterThatIsBeingStoredIsNotCutOff: neither the handler's time-out nor a drain without time takes it along.
func TestDeadLetterThatIsBeingStoredIsNotCutOff(t *testing.T) {
	tests := map[string]struct {
		takes          time.Duration
		letters, again int // what is on the dead-letter topic and what is still pending
		ends           time.Duration
	}{
		"Stored":    {800 * time.Millisecond, 1, 0, 700 * time.Millisecond},
		"NotInTime": {time.Hour, 0, 1, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := &mempubsub.Broker{}
				b := newBench(t, slowTopic{mem, deadTopic, tt.takes})
				letters, stopLetters := b.collect(deadTopic)
				defer stopLetters()
				stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
					return resilience.Permanent(errors.New("boom"))
				}, &pubsub.SubscriptionOptions{HandlerTimeout: time.Millisecond, DrainTimeout: -1}))
				b.publish("orders", &pubsub.Message{ID: "1"})
				pass(100 * time.Millisecond)
				began := time.Now()
				_ = stop()
				if took := time.Since(began); took != tt.ends {
					t.Errorf("Run took %v to end, want %v", took, tt.ends)
				}
				pass(time.Second)
				if got := len(letters()); got != tt.letters {
					t.Errorf("%d dead letters, want %d", got, tt.letters)
				}
				if got := pending(t, mem); got != tt.again {
					t.Errorf("%d messages pending, want %d", got, tt.again)
				}
			})
		})
	}
}
