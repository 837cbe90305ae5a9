package pubsub

import (
	"context"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// Message is one event on its way: what a [Publisher] sends and a [Handler] receives.
//
// A publisher owns its message until Publish returns and may use it again afterwards; Publish never changes it.
// A handler must not change a message, nor keep Data or Metadata after it returns.
type Message struct {
	// ID names the message for good: every copy of it, redelivered, relayed or published again after an error, has
	// the same ID, which is what consumers deduplicate by. Empty at Publish means a new UUIDv7.
	ID string
	// Key orders: messages of one key are handled in the order they were published, never two at once. Empty means
	// no order. At most [MaxKeyLength] bytes.
	Key string
	// Type is the CloudEvents type. Empty at Publish means the topic's name.
	Type string
	// Source names the publishing service (CloudEvents source). Empty at Publish means the client's Options.Source.
	Source string
	// Schema is the URI of what Data adheres to (CloudEvents dataschema). Empty means none is named.
	Schema string
	// ContentType is the media type of Data, such as "application/json".
	ContentType string
	// Time is when the event happened. Zero at Publish means now.
	Time time.Time
	// CorrelationID joins the message with the request or message that caused it. Empty at Publish means that of the
	// context; where that has none, a story begins with the message: its ID, or a new one where that is not well formed.
	CorrelationID string
	// CausationID is the ID of the message whose handler published this one, "" where a request did. Empty at Publish
	// means the context's [correlation.Cause]: in a handler the ID of the message that it handles, if that is well formed
	// as package correlation has it. A message is no cause of itself: one that its handler publishes again keeps what it
	// had.
	CausationID string
	// Trace holds the propagation fields ("traceparent", "tracestate") of the operation that published the message,
	// names in lower case, each once. Nil at Publish means those of the context; an outbox fills it in when the row is written,
	// so that the relay does not break the trace. Whatever it holds, of baggage only what the propagator lets through
	// is sent or stored.
	Trace Attributes
	// Metadata carries the application's own attributes: at most 64, of 8 KiB each and 64 KiB together. Keys are
	// lower-case letters, digits, '-', '_' and '.'; the kit's own names ("ce-…", "content-type", "traceparent",
	// "tracestate", "baggage", "mainstay-…") are refused at Publish. Of what somebody else sent, a handler sees what
	// Publish would let through.
	Metadata map[string]string
	// Data is the payload, at most what the broker takes. Nil is a tombstone to a broker that knows those (Kafka); others
	// may deliver it as empty.
	Data []byte

	// Topic is where the message was received from. Publish ignores it.
	Topic string
	// Subscription is the name of the subscription that received it. Publish ignores it.
	Subscription string
	// Attempt counts the attempts to handle this message by this subscription, from 1. A delivery that ended without
	// an outcome, in this process or another, counts as one. Publish ignores it.
	Attempt int
	// DeadLetter says why a message received from a dead-letter topic is there, nil on any other. Publish ignores it.
	DeadLetter *DeadLetter
}

// Attributes are names with their values, in no particular order.
type Attributes = driver.Attributes

// MaxKeyLength bounds [Message.Key], in bytes.
const MaxKeyLength = 1024

// Handler handles one message. Returning nil acknowledges it; an error asks for another attempt after a back-off, as
// the subscription's options say. resilience.Permanent(err) sends the message to the dead letter at once,
// resilience.RetryAfter(d, err) sets when the next attempt is made.
//
// A handler's context ends when its time-out passes or when a stopping subscription runs out of time; an error after
// the latter is not counted against the message.
type Handler func(ctx context.Context, m *Message) error

// Middleware wraps a handler. Of a list, the first is outermost.
type Middleware func(next Handler) Handler

// Publisher sends messages to a topic. *[Client] publishes to the broker, an outbox to the caller's transaction.
//
// Publish returns nil once every message is stored. On error some may have been stored (see [PublishError]); publish
// the same messages, with the same IDs, again.
type Publisher interface {
	Publish(ctx context.Context, topic string, ms ...*Message) error
}

type messageKey struct{}

// NewContext returns a copy of ctx that carries m as the message being handled, and its ID as the cause of what is
// published meanwhile ([correlation.Cause]). Subscriptions do this for their handlers; tests of handlers may too. A nil
// m is none.
func NewContext(ctx context.Context, m *Message) context.Context {
	cause := ""
	if m != nil {
		cause = m.ID
	}
	ctx = correlation.WithCause(ctx, cause)
	return context.WithValue(ctx, messageKey{}, m)
}

// MessageFrom returns the message that ctx's handler is handling, nil outside one.
func MessageFrom(ctx context.Context) *Message {
	m, _ := ctx.Value(messageKey{}).(*Message)
	return m
}
