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
	noAck    bool // it confirms nothing
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
		noAck: info.Config.NoAck,
	}
	lacks := strings.Join(shortfalls(info.Config, b.streamConfig(topic)), "; ")
	b.mu.Lock()
	news := b.lacks[topic] != lacks
	b.streams[topic], b.lacks[topic] = found, lacks
	b.mu.Unlock()
	if news && lacks != "" {
		b.o.Logger.WarnContext(ctx, "stream exists and keeps less than was asked for",
			"topic", topic, "stream", found.name, "differences", lacks)
	}
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

// streamConfig is that of a stream that is made for topic.
func (b *Broker) streamConfig(topic string) jetstream.StreamConfig {
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
	return c
}

func (b *Broker) createStream(ctx context.Context, topic string) (jetstream.Stream, error) {
	c := b.streamConfig(topic)
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

// shortfalls names where a stream keeps less than want: where messages are lost, or stored twice, that would not be. One
// that keeps more is as good.
func shortfalls(have, want jetstream.StreamConfig) []string {
	var all notes
	less := func(field string, have, want int64) { // below 1 is no limit
		all.add(have > 0 && (want < 1 || have < want), field, have, max(want, -1))
	}
	for _, subject := range want.Subjects {
		if !(stream{subjects: have.Subjects}).holds(subject) {
			all = append(all, fmt.Sprintf("Subjects lack %q", subject))
		}
	}
	all.add(have.Retention != want.Retention, "Retention", have.Retention, want.Retention)
	all.add(have.Discard < want.Discard, "Discard", have.Discard, want.Discard) // DiscardOld, want DiscardNew
	all.add(have.MaxAge > 0 && (want.MaxAge < 1 || have.MaxAge < want.MaxAge), "MaxAge", have.MaxAge, want.MaxAge)
	less("MaxMsgs", have.MaxMsgs, want.MaxMsgs)
	less("MaxBytes", have.MaxBytes, want.MaxBytes)
	less("MaxMsgsPerSubject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	all.add(have.Duplicates < want.Duplicates, "Duplicates", have.Duplicates, want.Duplicates)
	all.add(have.Storage > want.Storage, "Storage", have.Storage, want.Storage) // MemoryStorage, want FileStorage
	all.add(have.Replicas < want.Replicas, "Replicas", have.Replicas, want.Replicas)
	all.add(have.NoAck && !want.NoAck, "NoAck", have.NoAck, want.NoAck)
	return all
}

// flat makes a topic or subscription legal as a name of JetStream, which allows no dots.
func flat(name string) string { return strings.ReplaceAll(name, ".", "_") }
