package kafkapubsub

import (
	"context"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// retryTopic is where the messages of one subscription alone are.
func retryTopic(topic, name string) string { return topic + ".retry." + name }

// Redeliver stores ms in the subscription's retry topic. Kafka cannot wait: they are delivered at once. It implements
// driver.Redeliverer.
func (b *Broker) Redeliver(ctx context.Context, topic, name string, ms []driver.Message, _ time.Duration) error {
	return b.Publish(ctx, retryTopic(topic, name), ms)
}
