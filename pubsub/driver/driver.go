// Package driver is what a broker adapter implements for package pubsub. Applications do not import it.
//
// An adapter only moves messages: it publishes, receives, acknowledges, releases and extends, in batches. Retry,
// back-off, dead letters, key order, concurrency, metrics and tracing are written once, in pubsub. Abilities that
// some brokers lack are one-method interfaces at the end of this file; pubsub asserts them when a subscription opens,
// never later. The suite in pubsub/pubsubtest says whether an adapter keeps this contract.
package driver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Message is what travels: a payload and its attributes, names in lower case ("ce-id", "ce-type", "content-type",
// "traceparent", …). An adapter carries every attribute, in its broker's own binding (Kafka writes "ce_id").
type Message struct {
	ID         string     // what brokers that deduplicate do so by, within one topic; adapters need not deliver it
	Key        string     // orders messages; "" for none
	Attributes Attributes // read-only to the adapter, which may keep them
	Data       []byte     // read-only to the adapter, until Publish returns
}

// Delivery is one message as received, leased to this subscription until it is acknowledged, released, or the lease
// ends.
type Delivery struct {
	Message
	// Attempt counts the broker's deliveries of this message to this subscription, from 1. Zero means that the
	// broker does not count.
	Attempt int
	// Published is when the broker stored the message. Zero means that it does not say.
	Published time.Time
	// Position names the message's place in the broker ("ORDERS/42"), the same at each delivery. It becomes the ID of
	// a message that a stranger published without one.
	Position string
	// Handle is the adapter's own.
	Handle any
}

// SubscribeOptions says what to open.
type SubscribeOptions struct {
	Topic string // what to receive; never empty
	Name  string // subscriptions of one name share the messages; each name gets all of them
	// Lease is how long a delivery stays with its receiver before the broker hands it out again. Never zero.
	Lease time.Duration
	// MaxInFlight bounds the deliveries received and not yet acknowledged or released. Never zero.
	MaxInFlight int
	// Start is where a subscription begins that the broker does not know yet. It says nothing about one that exists. A
	// broker that keeps no past returns a permanent error that matches errors.ErrUnsupported.
	Start Start
	// Ordered asks that no two receivers, in whatever process, hold messages of one key at the same time, but while a
	// dead or stopped one is taken over. A broker that cannot promise it returns an error that matches [ErrUnordered].
	Ordered bool
	// DeadLetter names the topic of the subscription's dead letters: what is published there is kept until somebody
	// removes it, whether or not anybody subscribes, where the broker can. Never empty.
	DeadLetter string
	// Revoke tells the receiver that it has to let go of ds soon, because another process takes over: it releases
	// those that it has not begun with, and settles the others when they end. An adapter calls it from any goroutine; it
	// does not block. Never nil.
	Revoke func(ds []*Delivery)
}

// Start is a place in a topic. The zero value is its end: what is published from now on.
type Start struct {
	Earliest bool      // the oldest message that the broker has; goes before Time
	Time     time.Time // the first message stored at or after it
}

// Broker publishes and opens subscriptions. Its methods are safe for concurrent use.
type Broker interface {
	// Publish stores ms, in order for those of one key, and returns nil once the broker confirmed all of them. It
	// returns a *[PublishError] when some may have been stored, any other error when none was.
	Publish(ctx context.Context, topic string, ms []Message) error
	// Subscribe opens a subscription, and creates what the broker needs for it where that is missing. A subscription
	// that exists goes on where it was; a new one begins at o.Start, by default with the first message published after
	// Subscribe returned.
	Subscribe(ctx context.Context, o SubscribeOptions) (Subscription, error)
}

// Subscription receives. Receive is called by one goroutine at a time, the others from many. Ack and Extend of a
// delivery that was settled already, or whose lease was lost, do nothing and return nil.
type Subscription interface {
	// Receive waits for at least one delivery and returns at most n, n > 0. It returns ctx's error when ctx ends, and
	// then has taken nothing. After any other error it may be called again: the adapter reconnects by itself.
	Receive(ctx context.Context, n int) ([]*Delivery, error)
	// Ack says that ds are done: they are never delivered to this subscription again.
	Ack(ctx context.Context, ds []*Delivery) error
	// Release gives ds back, to be delivered again not before delay has passed, as exactly as the broker can. A
	// released delivery is at the head of its key where the broker orders.
	Release(ctx context.Context, ds []*Delivery, delay time.Duration) error
	// Extend renews the lease of ds for its full length from now.
	Extend(ctx context.Context, ds []*Delivery) error
	// Close ends the subscription in this process; what was not acknowledged is delivered again, elsewhere or later.
	// Close ends a Receive that is under way, with [ErrClosed]. A second Close returns nil.
	Close(ctx context.Context) error
}

// PublishError says which messages of a batch may not have been stored.
type PublishError struct {
	Indexes []int // positions in the batch, ascending: not stored, or not known to be
	Err     error // why the first of them was not
}

// Error says how many messages may not be stored, where the first of them is, and why.
func (e *PublishError) Error() string {
	if len(e.Indexes) == 0 {
		return fmt.Sprintf("messages may not be stored: %v", e.Err)
	}
	return fmt.Sprintf("%d messages may not be stored, the first at index %d: %v", len(e.Indexes), e.Indexes[0], e.Err)
}

// Unwrap returns e.Err.
func (e *PublishError) Unwrap() error { return e.Err }

// TooLargeError says that a message, attributes included, exceeds what the broker takes. It is permanent.
type TooLargeError struct {
	Bytes int // the size of the message, attributes included, as the broker counts it
	Limit int // the most that the broker takes, in bytes
}

// Error says both sizes, in bytes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("message of %d bytes exceeds the broker's limit of %d", e.Bytes, e.Limit)
}

// Retryable returns false: the same message never fits.
func (e *TooLargeError) Retryable() bool { return false }

// ErrClosed is what Receive returns after Close.
var ErrClosed = errors.New("driver: subscription closed")

// ErrUnordered says that the broker cannot keep the order of a key across processes. What Subscribe returns for it is
// permanent.
var ErrUnordered = errors.New("driver: no order across processes")

// Declarer is implemented by brokers whose topics have to exist before they are published to.
type Declarer interface {
	// Declare creates the topics that are missing and leaves those that exist as they are.
	Declare(ctx context.Context, topics []string) error
}

// Pinger is implemented by brokers that can say whether they are reachable now.
type Pinger interface {
	Ping(ctx context.Context) error
}

// System is implemented by brokers that have a name in the OpenTelemetry registry of messaging systems
// (messaging.system), such as "kafka", or one of their own.
type System interface {
	System() string
}

// Redeliverer is implemented by brokers that can hand a message to one subscription alone: its siblings do not see it.
// That is how a message whose next attempt is far away leaves the process, and how a dead letter comes back.
type Redeliverer interface {
	// Redeliver stores ms for the subscription called name of topic, which exists, under Publish's rules for errors.
	// They are delivered not before delay has passed, where the broker can wait; where it cannot, at once: pubsub writes
	// the time into the message as well. A message that the broker has seen before is stored once more.
	Redeliver(ctx context.Context, topic, name string, ms []Message, delay time.Duration) error
}

// Browser is implemented by brokers whose messages can be looked at without consuming them.
type Browser interface {
	// Browse returns at most n messages of topic in the order in which they were stored, as far as the broker keeps one,
	// from cursor on, and the cursor that follows. The empty cursor is the oldest message; no deliveries mean the end.
	// What Remove took is left out.
	Browse(ctx context.Context, topic, cursor string, n int) (ds []*Delivery, next string, err error)
	// Remove takes ds, which Browse returned, away for good. Those that are gone already are no error.
	Remove(ctx context.Context, topic string, ds []*Delivery) error
}

// Seeker is implemented by brokers that can move a subscription to another place in its topic.
type Seeker interface {
	// Seek makes the subscription called name of topic, which nobody may be receiving from, begin at to.
	Seek(ctx context.Context, topic, name string, to Start) error
}

// Lag is what a subscription has still to do.
type Lag struct {
	Messages int64     // stored and not acknowledged, about
	Oldest   time.Time // when the oldest of them was stored; zero for none, or where the broker does not say
}

// Lagger is implemented by subscriptions that know how far behind they are.
type Lagger interface {
	Lag(ctx context.Context) (Lag, error)
}
