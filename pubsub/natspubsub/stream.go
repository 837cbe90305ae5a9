package natspubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stream is what the adapter knows of the stream that holds a topic.
type stream struct {
	name     string
	limit    int       // of one message, in bytes; below 1 for none
	created  time.Time // tells a stream from another of its name
	subjects []string
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
	found := stream{
		name: info.Config.Name, limit: int(info.Config.MaxMsgSize), created: info.Created, subjects: info.Config.Subjects,
	}
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
		Subjects:   []string{topic, redeliveries(topic)},
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
