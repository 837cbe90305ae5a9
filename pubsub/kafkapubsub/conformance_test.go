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
	pubsubtest.Run(t, harness("kfake", newKafka(t, seeds)))
}

func TestConformanceOfARealCluster(t *testing.T) {
	pubsubtest.Run(t, harness("kafka", newKafka(t, realCluster(t))))
}

func harness(name string, client *kgo.Client) pubsubtest.Harness {
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
		MaxBytes: 1000012,
	}
}
