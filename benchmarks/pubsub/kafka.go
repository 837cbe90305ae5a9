package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
)

// brokerBatch is how many messages a call publishes through a broker, where the library takes more than one.
const brokerBatch = 1000

// kafkaPartitions are what every side's topic has.
const kafkaPartitions = 4

func kafkaContests() []contest {
	kit := way{"kafkapubsub, observed", kitOnKafka}
	return []contest{
		{kit: kit, peer: way{"franz-go, raw async", rawKafka}, ratio: 1 / 0.4},
		{kit: kit, peer: way{"watermill-kafka", watermillOnKafka(false)}, ratio: 0.2},
		{kit: kit, peer: way{"watermill-kafka, from 100 goroutines", watermillOnKafka(true)}, ratio: 0.2},
	}
}

// startKafka is a cluster of one broker in this process, reached over loopback, with the topic.
func startKafka() (*kfake.Cluster, error) {
	return kfake.NewCluster(
		kfake.NumBrokers(1), kfake.SeedTopics(kafkaPartitions, topicName),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	)
}

// kafkaClient is as both sides that use franz-go have it. A publisher that waits for its acknowledgements has nothing
// to linger for.
func kafkaClient(c *kfake.Cluster, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.DisableClientMetrics(), kgo.ProducerLinger(0),
	}, opts...)...)
}

func kitOnKafka(ctx context.Context, handled func()) (line, error) {
	c, err := startKafka()
	if err != nil {
		return line{}, err
	}
	client, err := kafkaClient(c)
	if err != nil {
		c.Close()
		return line{}, err
	}
	release := func() {
		client.Close()
		c.Close()
	}
	l, err := kitLine(ctx, kafkapubsub.New(client, nil), sampling(), brokerBatch, handled, release)
	if err != nil {
		release()
	}
	return l, err
}

func rawKafka(ctx context.Context, handled func()) (line, error) {
	c, err := startKafka()
	if err != nil {
		return line{}, err
	}
	producer, err := kafkaClient(c)
	if err != nil {
		c.Close()
		return line{}, err
	}
	consumer, err := kafkaClient(c, kgo.ConsumerGroup("s"), kgo.ConsumeTopics(topicName), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		producer.Close()
		c.Close()
		return line{}, err
	}
	consuming, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { consume(consuming, consumer, handled) })
	return line{rawPublish(producer), func() {
		cancel()
		wg.Wait()
		consumer.Close()
		producer.Close()
		c.Close()
	}}, nil
}

// consume handles what it polls and commits it.
func consume(ctx context.Context, consumer *kgo.Client, handled func()) {
	for ctx.Err() == nil {
		fetches := consumer.PollFetches(ctx)
		fetches.EachRecord(func(*kgo.Record) { handled() })
		if fetches.NumRecords() > 0 {
			_ = consumer.CommitUncommittedOffsets(ctx)
		}
	}
}

func rawPublish(producer *kgo.Client) func(context.Context, int) error {
	data := make([]byte, payloadSize)
	return func(ctx context.Context, n int) error {
		var mu sync.Mutex
		var first error
		for range n {
			producer.Produce(ctx, &kgo.Record{Topic: topicName, Value: data}, func(_ *kgo.Record, err error) {
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					first = errors.Join(first, err)
				}
			})
		}
		if err := producer.Flush(ctx); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return first
	}
}

func watermillOnKafka(many bool) func(context.Context, func()) (line, error) {
	return func(ctx context.Context, handled func()) (line, error) {
		c, err := startKafka()
		if err != nil {
			return line{}, err
		}
		pub, sub, err := watermillKafka(c)
		if err != nil {
			c.Close()
			return line{}, fmt.Errorf("watermill: %w", err)
		}
		release := func() {
			_, _ = sub.Close(), pub.Close()
			c.Close()
		}
		l, err := watermillLine(ctx, pub, sub, brokerBatch, handled, release)
		if err != nil {
			release()
			return line{}, fmt.Errorf("watermill: %w", err)
		}
		if many {
			data := make([]byte, payloadSize)
			l.publish = func(ctx context.Context, n int) error {
				return fromMany(ctx, n, func(context.Context) error {
					return pub.Publish(topicName, message.NewMessage(watermill.NewUUID(), data))
				})
			}
		}
		return l, nil
	}
}

func watermillKafka(c *kfake.Cluster) (*watermillkafka.Publisher, *watermillkafka.Subscriber, error) {
	pub, err := watermillkafka.NewPublisher(watermillkafka.PublisherConfig{
		Brokers: c.ListenAddrs(), Marshaler: watermillkafka.DefaultMarshaler{},
	}, watermill.NopLogger{})
	if err != nil {
		return nil, nil, err
	}
	config := watermillkafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.AutoCommit.Interval = time.Second
	// The first message may come before the group has its partitions.
	config.Consumer.Offsets.Initial = -2 // sarama.OffsetOldest
	sub, err := watermillkafka.NewSubscriber(watermillkafka.SubscriberConfig{
		Brokers: c.ListenAddrs(), Unmarshaler: watermillkafka.DefaultMarshaler{}, ConsumerGroup: "s",
		OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, nil, errors.Join(err, pub.Close())
	}
	return pub, sub, nil
}
