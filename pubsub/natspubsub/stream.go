package natspubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// stream is what the adapter knows of the stream that holds a topic.
type stream struct {
	name    string
	limit   int       // of one message, in bytes; below 1 for none
	created time.Time // tells a stream from another of its name
}

// ensureStream returns the stream that holds topic, and creates it where there is none.
func (b *Broker) ensureStream(ctx context.Context, topic string) (stream, error) {
	b.mu.Lock()
	known, ok := b.streams[topic]
	b.mu.Unlock()
	if ok {
		return known, nil
	}
	s, err := b.findStream(ctx, topic)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = b.createStream(ctx, topic)
	}
	if err != nil {
		return stream{}, fmt.Errorf("natspubsub: stream of %q: %w", topic, err)
	}
	info := s.CachedInfo()
	found := stream{name: info.Config.Name, limit: int(info.Config.MaxMsgSize), created: info.Created}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[topic] = found
	return found, nil
}

// forgetStream makes the next use of topic look for its stream again.
func (b *Broker) forgetStream(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, topic)
}

func (b *Broker) findStream(ctx context.Context, topic string) (jetstream.Stream, error) {
	name, err := b.js.StreamNameBySubject(ctx, topic)
	if err != nil {
		return nil, err
	}
	return b.js.Stream(ctx, name)
}

func (b *Broker) createStream(ctx context.Context, topic string) (jetstream.Stream, error) {
	c := jetstream.StreamConfig{
		Name:       flat(topic),
		Subjects:   []string{topic},
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.LimitsPolicy,
		Replicas:   1,
		MaxAge:     7 * 24 * time.Hour,
		Duplicates: 2 * time.Minute,
	}
	if b.o.Stream != nil {
		b.o.Stream(topic, &c)
	}
	// A name that is in use is that of another process, which was faster, or of another topic.
	if _, err := b.js.CreateStream(ctx, c); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil, err
	}
	s, err := b.findStream(ctx, topic)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, permanentError{fmt.Errorf("stream %q exists and does not hold this topic: add the subject to it, "+
			"or choose another name by Options.Stream", c.Name)}
	}
	return s, err
}

// flat makes a topic or subscription legal as a name of JetStream, which allows no dots.
func flat(name string) string { return strings.ReplaceAll(name, ".", "_") }

// ensureConsumer returns the consumer of a subscription and creates it where there is none, beginning at start: zero
// for what is published from now on.
func (b *Broker) ensureConsumer(ctx context.Context, s stream, o driver.SubscribeOptions, start uint64) (
	jetstream.Consumer, error,
) {
	// A stream may hold many topics, a consumer reads one.
	durable := flat(o.Name) + "-" + flat(o.Topic)
	c, err := b.js.Consumer(ctx, s.name, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return b.js.CreateConsumer(ctx, s.name, consumerConfig(durable, o, start))
	}
	if err != nil {
		return nil, err
	}
	have := c.CachedInfo().Config
	if err := belongs(have, o.Topic, o.Name); err != nil {
		return nil, err
	}
	want := have
	want.AckWait, want.BackOff, want.MaxDeliver, want.MaxAckPending = o.Lease, nil, -1, -1
	if have.AckWait == o.Lease && len(have.BackOff) == 0 && have.MaxDeliver == -1 && have.MaxAckPending == -1 {
		return c, nil
	}
	return b.js.UpdateConsumer(ctx, s.name, want)
}

// metaSubscription is the consumer's metadata that holds the subscription's name, dots and all.
const metaSubscription = "mainstay-subscription"

func consumerConfig(durable string, o driver.SubscribeOptions, start uint64) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Durable:       durable,
		FilterSubject: o.Topic,
		DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       o.Lease,
		MaxDeliver:    -1,
		MaxAckPending: -1,
		Metadata:      map[string]string{metaSubscription: o.Name},
	}
	if start > 0 {
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, start
	}
	return c
}

// belongs says whether a consumer that exists is the subscription's: "a.b" and "a_b" have consumers of one name.
func belongs(c jetstream.ConsumerConfig, topic, name string) error {
	filters := append([]string{c.FilterSubject}, c.FilterSubjects...)
	filters = slices.DeleteFunc(filters, func(s string) bool { return s == "" })
	owner, known := c.Metadata[metaSubscription]
	switch {
	case known && owner != name:
		return permanentError{fmt.Errorf("consumer %q belongs to subscription %q", c.Durable, owner)}
	case len(filters) > 1 || len(filters) == 1 && filters[0] != topic:
		return permanentError{fmt.Errorf("consumer %q exists for %v", c.Durable, filters)}
	case c.AckPolicy != jetstream.AckExplicitPolicy || c.DeliverSubject != "":
		return permanentError{
			fmt.Errorf("consumer %q exists and is no pull consumer with explicit acknowledgement", c.Durable),
		}
	}
	return nil
}
