package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// topic is what the adapter knows of one that exists.
type topic struct {
	limit int // of one message, in bytes
}

// Declare creates the topics that are missing, and holds those that exist against Options. It implements
// driver.Declarer.
func (b *Broker) Declare(ctx context.Context, topics []string) error {
	for _, name := range topics {
		if _, err := b.ensureTopic(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// ensureTopic returns what is known of a topic, and creates it where there is none.
func (b *Broker) ensureTopic(ctx context.Context, name string) (topic, error) {
	if b.err != nil {
		return topic{}, b.err
	}
	b.mu.Lock()
	known, ok := b.topics[name]
	b.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := b.lookUp(ctx, name)
	if err != nil {
		return topic{}, fmt.Errorf("kafkapubsub: topic %q: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[name] = found
	return found, nil
}

// forgetTopic makes the next use of a topic look for it again, and reports whether it would not have.
func (b *Broker) forgetTopic(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.topics[name]
	delete(b.topics, name)
	return known
}

func (b *Broker) lookUp(ctx context.Context, name string) (topic, error) {
	t, err := b.metadata(ctx, name)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		if err = b.create(ctx, name); err == nil {
			err = b.awaitTopic(ctx, name)
		}
	case err == nil:
		err = b.compare(t)
	}
	if err != nil {
		return topic{}, err
	}
	return b.limits(ctx, name)
}

// metadata asks the cluster about a topic, past what the client remembers, and makes it remember the answer.
func (b *Broker) metadata(ctx context.Context, name string) (kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &name
	req.Topics = append(req.Topics, asked)
	res, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return kmsg.MetadataResponseTopic{}, err
	}
	if len(res.Topics) == 0 {
		return kmsg.MetadataResponseTopic{}, kerr.UnknownTopicOrPartition
	}
	t := res.Topics[0]
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return t, err
	}
	for _, p := range t.Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil && !errors.Is(err, kerr.ReplicaNotAvailable) {
			return t, err
		}
	}
	return t, nil
}

var errMissing = errors.New("is missing, and Options.NoCreate is set")

func (b *Broker) create(ctx context.Context, name string) error {
	if b.o.NoCreate {
		return permanentError{errMissing}
	}
	partitions, replicas := int32(-1), int16(-1) // the cluster's defaults
	if b.o.Partitions > 0 {
		partitions = int32(b.o.Partitions)
	}
	if b.o.ReplicationFactor > 0 {
		replicas = int16(b.o.ReplicationFactor)
	}
	_, err := b.admin.CreateTopic(ctx, partitions, replicas, nil, name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil // another process was faster
	}
	if refusal, ok := errors.AsType[*kerr.Error](err); ok && !refusal.Retriable {
		return permanentError{fmt.Errorf("create: %w", err)}
	}
	return err
}

// awaitTopic returns once a topic that was created has leaders.
func (b *Broker) awaitTopic(ctx context.Context, name string) error {
	return persist(ctx, func(ctx context.Context) error {
		_, err := b.metadata(ctx, name)
		return err
	})
}

const (
	// persistTimeout bounds the wait for what the cluster says is on its way.
	persistTimeout = 10 * time.Second
	persistPause   = 20 * time.Millisecond
)

// persist tries until the error is none that the cluster calls temporary.
func persist(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, persistTimeout)
	defer cancel()
	for {
		err := try(ctx)
		refusal, ok := errors.AsType[*kerr.Error](err)
		if !ok || !refusal.Retriable {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(persistPause):
		}
	}
}

// compare says how a topic differs from what Options ask for.
func (b *Broker) compare(t kmsg.MetadataResponseTopic) error {
	if have, want := len(t.Partitions), b.o.Partitions; want > 0 && have != want {
		return permanentError{fmt.Errorf("has %d partitions, want %d (Options.Partitions)", have, want)}
	}
	for _, p := range t.Partitions {
		if have, want := len(p.Replicas), b.o.ReplicationFactor; want > 0 && have != want {
			return permanentError{fmt.Errorf("has replication factor %d, want %d (Options.ReplicationFactor)", have, want)}
		}
	}
	return nil
}

// limits returns how large a message may be: what the topic takes, and what the client sends.
func (b *Broker) limits(ctx context.Context, name string) (topic, error) {
	batch, err := b.batchLimit(name)
	if err != nil {
		return topic{}, err
	}
	configs, err := b.admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return topic{}, err
	}
	for _, c := range configs {
		for _, entry := range c.Configs {
			if entry.Key != "max.message.bytes" || entry.Value == nil {
				continue
			}
			most, err := strconv.Atoi(*entry.Value)
			if err != nil {
				return topic{}, fmt.Errorf("max.message.bytes: %w", err)
			}
			if most < batch {
				return topic{}, permanentError{fmt.Errorf("takes batches of %d bytes (max.message.bytes), and the client "+
					"makes batches of up to %d: set kgo.ProducerBatchMaxBytesFn", most, batch)}
			}
		}
	}
	return topic{limit: batch}, nil
}

// batchLimit is how large the batches are that the client makes.
func (b *Broker) batchLimit(name string) (int, error) {
	limit, ok := b.client.OptValue(kgo.ProducerBatchMaxBytesFn).(func(string) int32)
	if !ok || limit == nil {
		return 0, permanentError{errors.New("the client does not tell its kgo.ProducerBatchMaxBytesFn")}
	}
	return int(limit(name)), nil
}

// tooLarge returns the error of r when t does not take it.
func (t topic) tooLarge(r *kgo.Record) error {
	if n := size(r); n > t.limit {
		return &driver.TooLargeError{Bytes: n, Limit: t.limit}
	}
	return nil
}
