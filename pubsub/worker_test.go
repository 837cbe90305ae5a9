package pubsub_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

func TestRunWaitsForItsWorkers(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, &mempubsub.Broker{})
			stop := run(t, b.client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
				time.Sleep(time.Second)
				return nil
			}, &pubsub.SubscriptionOptions{Concurrency: 100}))
			ms := make([]*pubsub.Message, 100)
			for i := range ms {
				ms[i] = &pubsub.Message{}
			}
			b.publish("orders", ms...)
			pass(time.Minute)
			err := stop()
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			// One that has said that it ends may still be on its way out.
			if n := strings.Count(string(stacks), "pubsub.(*loop).report("); err != nil || n > 0 {
				t.Errorf("Run = %v and left %d workers, want none", err, n)
			}
		})
	}
}

// slowAcks is a broker whose acknowledgements take as long as they may.
type slowAcks struct{ mempubsub.Broker }

type slowSubscription struct{ driver.Subscription }

func (b *slowAcks) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	s, err := b.Broker.Subscribe(ctx, o)
	return slowSubscription{s}, err
}

func (s slowSubscription) Ack(ctx context.Context, _ []*driver.Delivery) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestWhatIsHandledIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &slowAcks{})
		stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, m *pubsub.Message) error {
			if m.ID == "stuck" {
				<-ctx.Done()
			}
			return ctx.Err()
		}, &pubsub.SubscriptionOptions{DrainTimeout: time.Second, HandlerTimeout: -1}))
		b.publish("orders", &pubsub.Message{ID: "handled"}, &pubsub.Message{ID: "stuck"})
		synctest.Wait()
		err := stop()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stuck") || strings.Contains(err.Error(), "handled") {
			t.Errorf("Run = %v, want it to name the message that was cut off, not the one that waits for its acknowledgement", err)
		}
	})
}
