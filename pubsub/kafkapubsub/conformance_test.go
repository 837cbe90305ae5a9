package kafkapubsub_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

func TestConformance(t *testing.T) {
	_, seeds := startCluster(t)
	pubsubtest.Run(t, harness(t, "kfake", seeds))
}

func TestConformanceOfARealCluster(t *testing.T) {
	pubsubtest.Run(t, harness(t, "kafka", realCluster(t)))
}

// harness restarts nothing: a cluster in this process forgets all when it ends, and a real one is not ours to end. An
// outage is one of the way there.
func harness(t *testing.T, name string, seeds []string) pubsubtest.Harness {
	w := new(wire)
	client := newKafka(t, seeds, kgo.Dialer(w.dial))
	b := kafkapubsub.New(client, nil)
	return pubsubtest.Harness{
		Adapter:   name,
		Abilities: pubsubtest.Abilities{Order: true, Start: true, Redeliver: true, Browse: true, Seek: true, Lag: true},
		NoLease:   true,
		Broker:    func(testing.TB) driver.Broker { return b },
		Stranger: func(t testing.TB, topic string, data []byte) {
			err := client.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Value: data}).FirstErr()
			if err != nil {
				t.Fatal(err)
			}
		},
		Outage: func(testing.TB) func() {
			w.sever()
			return w.mend
		},
		MaxBytes: 1000012,
	}
}
