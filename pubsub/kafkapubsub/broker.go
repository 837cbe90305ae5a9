package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options configures a [Broker]. The zero value is ready.
type Options struct {
	// Partitions of a topic that is created. Zero means the cluster's default. A positive number is also held against
	// a topic that exists, and a mismatch is an error; negative is an error.
	Partitions int
	// ReplicationFactor of a topic that is created. Zero means the cluster's default. A positive number is also held
	// against a topic that exists, and a mismatch is an error; negative is an error.
	ReplicationFactor int
	// NoCreate makes a topic that is missing an error. By default it is created.
	NoCreate bool
	// Group names the consumer group of a subscription. Nil means name@topic, such as "stock@orders".
	Group func(topic, name string) string
	// InstanceID makes subscriptions static members of their groups: a process that comes back within SessionTimeout
	// keeps its partitions, without a rebalance, and nobody else gets them in between, not even after Close. Each
	// process needs an ID of its own, and one subscription of a name at most. Empty means dynamic members.
	InstanceID string
	// SessionTimeout is how long the group waits for a member that has gone silent. Zero means 45s. The broker bounds
	// it (group.min.session.timeout.ms, by default 6s, to group.max.session.timeout.ms); negative is an error.
	SessionTimeout time.Duration
	// RevokeTimeout bounds how long a partition that goes to another process is kept for handlers that run. When it has
	// passed, what they hold is handled once more by the other process. Zero means 30s, negative means not at all. It
	// has to be shorter than the group's rebalance time-out, 60s unless the client says otherwise.
	RevokeTimeout time.Duration
	// MaxUncommitted bounds how far a partition may run ahead of its lowest unfinished record, in records. What was
	// finished beyond that record is in memory, and is done again after a crash. At the bound the partition is paused.
	// Zero means 10000; negative means no bound.
	MaxUncommitted int
}

// Broker publishes to Kafka and subscribes to it. It implements driver.Broker and is safe for concurrent use.
type Broker struct {
	client *kgo.Client
	admin  *kadm.Client
	o      Options
	err    error // what is wrong with the client or the options

	pages    sync.Pool  // of *page
	removing sync.Mutex // one Remove at a time reads and writes what was removed

	mu     sync.Mutex
	topics map[string]topic // known to exist
}

// New returns a broker that publishes by client, which the caller owns and closes after the last subscription has
// ended. Each subscription has a client of its own, made of the same options. Nil o means defaults.
//
// A client that would not keep the contract is refused by every method: one without idempotent writes or without
// acknowledgement by all replicas, and one that consumes.
func New(client *kgo.Client, o *Options) *Broker {
	b := &Broker{client: client, admin: kadm.NewClient(client), topics: make(map[string]topic)}
	if o != nil {
		b.o = *o
	}
	b.err = errors.Join(checkClient(client), b.o.check())
	if b.err != nil {
		b.err = permanentError{fmt.Errorf("kafkapubsub: %w", b.err)}
	}
	if b.o.SessionTimeout == 0 {
		b.o.SessionTimeout = 45 * time.Second
	}
	if b.o.RevokeTimeout == 0 {
		b.o.RevokeTimeout = 30 * time.Second
	}
	if b.o.MaxUncommitted == 0 {
		b.o.MaxUncommitted = 10000
	}
	return b
}

func checkClient(client *kgo.Client) error {
	if off, _ := client.OptValue(kgo.DisableIdempotentWrite).(bool); off {
		return errors.New("the client has kgo.DisableIdempotentWrite: a retry could duplicate and reorder messages")
	}
	if acks, ok := client.OptValue(kgo.RequiredAcks).(kgo.Acks); ok && acks != kgo.AllISRAcks() {
		return errors.New("the client has kgo.RequiredAcks other than kgo.AllISRAcks: a confirmed message could be lost")
	}
	if group, _ := client.OptValue(kgo.ConsumerGroup).(string); group != "" {
		return fmt.Errorf("the client has kgo.ConsumerGroup %q: subscriptions name their own", group)
	}
	return nil
}

func (o Options) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Partitions", int64(o.Partitions)},
		{"ReplicationFactor", int64(o.ReplicationFactor)},
		{"SessionTimeout", int64(o.SessionTimeout)},
	} {
		if f.value < 0 {
			return fmt.Errorf("option %s is negative", f.name)
		}
	}
	return nil
}

// group returns the name of a subscription's consumer group. "@" is in no name of a topic or subscription.
func (b *Broker) group(topic, name string) string {
	if b.o.Group != nil {
		return b.o.Group(topic, name)
	}
	return name + "@" + topic
}

// System returns "kafka", the messaging.system of its spans.
func (b *Broker) System() string { return "kafka" }

// pingTimeout bounds Ping where the context does not.
const pingTimeout = 5 * time.Second

// Ping returns nil when a broker answers now. It implements driver.Pinger.
func (b *Broker) Ping(ctx context.Context) error {
	if b.err != nil {
		return b.err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := b.client.Ping(ctx); err != nil {
		return fmt.Errorf("kafkapubsub: ping: %w", err)
	}
	return nil
}

// permanentError marks what another try would only repeat.
type permanentError struct{ error }

func (e permanentError) Unwrap() error   { return e.error }
func (e permanentError) Retryable() bool { return false }
