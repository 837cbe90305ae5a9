package natspubsub

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options configures a [Broker]. The zero value is ready.
type Options struct {
	// Stream changes the configuration with which a missing stream for topic is created, for more replicas, another
	// limit, one stream for many topics. It finds the defaults in c: named as the topic with '_' for '.', the topic and
	// its redeliveries ("TOPIC.$redeliver.>") for subjects, file storage, one replica, messages kept for 7 days whether
	// read or not, without a bound on bytes, and a duplicate window of 2 minutes. Nil means those. It must leave the
	// topic among the subjects; without the redeliveries, Redeliver refuses. A stream that exists is compared with what it
	// says: where that keeps less, a warning names each difference.
	Stream func(topic string, c *jetstream.StreamConfig)
	// ConfirmAcks makes an acknowledgement return once the server has applied it (a double acknowledgement), for a
	// round trip to the consumer's leader. The zero value, false, waits until the server has received it: one that gets
	// lost behind that costs a redelivery.
	ConfirmAcks bool
	// Logger says what was changed of a consumer that exists, and what is amiss with a stream that does. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Broker publishes to JetStream and subscribes to it. It implements driver.Broker and is safe for concurrent use.
type Broker struct {
	js jetstream.JetStream
	nc *nats.Conn
	o  Options

	mu      sync.Mutex
	streams map[string]stream // by topic
	lacks   map[string]string // what was said of the stream of a topic

	inboxes inboxes
}

// New returns a broker that uses js, which the caller owns. Nil o means defaults.
func New(js jetstream.JetStream, o *Options) *Broker {
	b := &Broker{js: js, nc: js.Conn(), streams: make(map[string]stream), lacks: make(map[string]string)}
	if o != nil {
		b.o = *o
	}
	if b.o.Logger == nil {
		b.o.Logger = slog.Default()
	}
	return b
}

// System returns "nats", the messaging.system of its spans.
func (b *Broker) System() string { return "nats" }

// pingTimeout bounds Ping where the context does not.
const pingTimeout = 5 * time.Second

// Ping returns nil when the server answers now. It implements driver.Pinger.
func (b *Broker) Ping(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return nats.ErrDisconnected
	}
	return b.flush(ctx)
}

// flush returns once the server has received everything that was published before.
func (b *Broker) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return b.nc.FlushWithContext(ctx)
}

// Declare creates the streams that are missing. It implements driver.Declarer.
func (b *Broker) Declare(ctx context.Context, topics []string) error {
	for _, t := range topics {
		if _, err := b.ensureStream(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// permanentError marks what another try would only repeat.
type permanentError struct{ error }

func (e permanentError) Unwrap() error   { return e.error }
func (e permanentError) Retryable() bool { return false }
