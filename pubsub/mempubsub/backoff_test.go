package mempubsub_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// TestFiveHours shows how to test what takes hours: the broker starts no goroutine of its own and reads no clock but
// the bubble's, so that a back-off of five hours passes when everybody waits for it.
func TestFiveHours(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		client := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: prometheus.NewRegistry()})
		handled := make(chan time.Time, 2)
		sub := client.Subscribe("orders", "billing", func(_ context.Context, m *pubsub.Message) error {
			handled <- time.Now()
			if m.Attempt == 1 {
				return errors.New("the bank is closed")
			}
			return nil
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MinBackoff: 5 * time.Hour, MaxBackoff: 5 * time.Hour}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- sub.Run(ctx) }()
		<-sub.Ready()
		if err := client.Publish(ctx, "orders", &pubsub.Message{ID: "1"}); err != nil {
			t.Fatal(err)
		}
		first, second := <-handled, <-handled
		if waited := second.Sub(first); waited != 5*time.Hour {
			t.Errorf("the second attempt came after %v, want 5h", waited)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Logf("that took %v", time.Since(began))
}
