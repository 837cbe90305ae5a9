package pubsub

import (
	"context"
	"fmt"

	"github.com/mainstay-go/mainstay/resilience"
)

// Named is whatever names a topic; *[Topic] of any event type does.
type Named interface{ Name() string }

// TopicOptions says how events of type T become messages. The zero value is ready.
type TopicOptions[T any] struct {
	// Key orders: events of one key are handled in order, never two at once. Nil means no order.
	Key func(event T) string
	// Type is the CloudEvents type of the events. Empty means the topic's name.
	Type string
	// Schema is the URI of what the payloads adhere to, with its version (CloudEvents dataschema). Change it, or the Type,
	// with what older subscribers cannot read. Empty means that messages name none.
	Schema string
	// ID derives the ID of a message from its event, so that the same event, published twice, is the same message to
	// whoever deduplicates. Nil, and an ID of "", mean a new one for each.
	ID func(event T) string
	// Codec says how events become bytes. Its zero value means JSON.
	Codec Codec[T]
	// Tombstone returns the event that a message without data stands for (Data is nil, as where Kafka's compaction
	// deletes a key); its error is permanent. Nil means that the codec decides: JSON refuses it, so that it is
	// dead-lettered.
	Tombstone func(m *Message) (T, error)
}

// Topic is a contract: a name, and the type of the events that travel under it. Declare it once, in a package that
// publishers and subscribers import. It is immutable and safe for concurrent use.
type Topic[T any] struct {
	name string
	o    TopicOptions[T]
}

// NewTopic returns the topic of that name: 1 to 249 of A-Z a-z 0-9 - _ . without an empty part between dots. A bad
// name is reported where it is used, by Publish, [Client.Declare] and [Subscription.Run].
func NewTopic[T any](name string, o *TopicOptions[T]) *Topic[T] {
	t := &Topic[T]{name: name}
	if o != nil {
		t.o = *o
	}
	if t.o.Codec.Encode == nil && t.o.Codec.Decode == nil {
		t.o.Codec = JSON[T]()
	}
	return t
}

// Name returns the topic's name.
func (t *Topic[T]) Name() string { return t.name }

// Message returns a message that holds event, with a new ID or the one that TopicOptions.ID derives. Publish the same
// message again after an error, and consumers can tell that it is the same.
func (t *Topic[T]) Message(event T) (*Message, error) {
	m := &Message{}
	if err := t.encode(event, m); err != nil {
		return nil, err
	}
	if m.ID == "" {
		m.ID = newID()
	}
	return m, nil
}

// encode fills in m, which is zero. It leaves the ID empty where none is derived.
func (t *Topic[T]) encode(event T, m *Message) error {
	encode := t.o.Codec.Encode
	if encode == nil {
		return fmt.Errorf("pubsub: encode %q: %w", t.name, &InvalidError{"Codec.Encode", "is nil"})
	}
	data, err := encode(event)
	if err != nil {
		return resilience.Permanent(fmt.Errorf("pubsub: encode %q: %w", t.name, err))
	}
	m.Type, m.Schema, m.ContentType, m.Data = t.o.Type, t.o.Schema, t.o.Codec.ContentType, data
	if t.o.ID != nil {
		m.ID = t.o.ID(event)
	}
	if t.o.Key != nil {
		m.Key = t.o.Key(event)
	}
	return nil
}

// Publish sends events by p: a [Client], or the outbox of a transaction. Where one does not encode, none is sent. After
// an error, some may be stored: the positions in a [PublishError] are theirs. To publish them again under the same IDs,
// derive these (TopicOptions.ID), or keep their messages ([Topic.Message]).
func (t *Topic[T]) Publish(ctx context.Context, p Publisher, events ...T) error {
	room := make([]Message, len(events))
	ms := make([]*Message, len(events))
	for i, event := range events {
		if err := t.encode(event, &room[i]); err != nil {
			if len(events) > 1 {
				return fmt.Errorf("event %d: %w", i, err)
			}
			return err
		}
		ms[i] = &room[i]
	}
	return p.Publish(ctx, t.name, ms...)
}

// Decode returns the event that m holds, whatever content type m names. The error is permanent: the same bytes never
// decode.
func (t *Topic[T]) Decode(m *Message) (event T, err error) {
	switch {
	case m.Data == nil && t.o.Tombstone != nil:
		event, err = t.o.Tombstone(m)
	case t.o.Codec.Decode == nil:
		err = &InvalidError{"Codec.Decode", "is nil"}
	default:
		event, err = t.o.Codec.Decode(m.Data)
	}
	if err != nil {
		return event, &DecodeError{Topic: t.name, Err: err}
	}
	return event, nil
}

// DecodeError says that a message's payload is not what its topic promises. A subscription sends such a message to
// the dead letter after one attempt.
type DecodeError struct {
	Topic string // the topic's name
	Err   error  // what the codec says
}

// Error says which topic, and what the codec says.
func (e *DecodeError) Error() string { return fmt.Sprintf("pubsub: decode %q: %v", e.Topic, e.Err) }

// Unwrap returns e.Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// Retryable returns false.
func (e *DecodeError) Retryable() bool { return false }

// Subscribe returns a subscription of client that hands this topic's events to handle. See [Client.Subscribe];
// [MessageFrom] gives handle the message's ID, key and attempt.
func (t *Topic[T]) Subscribe(
	client *Client, name string, handle func(context.Context, T) error, o *SubscriptionOptions,
) *Subscription {
	return client.Subscribe(t.name, name, func(ctx context.Context, m *Message) error {
		event, err := t.Decode(m)
		if err != nil {
			return err
		}
		return handle(ctx, event)
	}, o)
}
