package natspubsub

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// LossyPublisher sends messages that may be lost: by core NATS, at most once, to whoever listens at this moment. Use it
// for what is worthless a second later, such as a cursor's position. It is no pubsub.Publisher on purpose, so that
// nothing that asks for one, an outbox for instance, gets it by mistake. It is safe for concurrent use.
//
// Messages have the envelope, the checks, the spans and the metrics of pubsub.Client. Listen with nats.Conn.Subscribe.
// Where a stream holds the subject it stores them like any other, and its subscriptions get them, without
// deduplication.
type LossyPublisher struct {
	client *pubsub.Client
}

// NewLossyPublisher returns a publisher on nc, which the caller owns. Nil o means defaults. What is wrong with o is
// reported by Fire.
func NewLossyPublisher(nc *nats.Conn, o *pubsub.Options) *LossyPublisher {
	return &LossyPublisher{client: pubsub.NewClient(&lossy{nc}, o)}
}

// Fire hands ms to the connection and waits for nobody. Nil means that they have the right shape and were written to
// the connection's buffer, no more: a broken connection, or nobody who listens, loses them without a word. While the
// connection is away Fire returns nats.ErrDisconnected rather than keep them for later. A message that is too large is
// a *pubsub.TooLargeError; the others of the call are sent.
func (p *LossyPublisher) Fire(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	return p.client.Publish(ctx, topic, ms...)
}

// lossy is core NATS as a broker that only publishes.
type lossy struct{ nc *nats.Conn }

func (*lossy) System() string { return "nats" }

func (l *lossy) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	if !l.nc.IsConnected() {
		return fmt.Errorf("natspubsub: %w", nats.ErrDisconnected)
	}
	failed := &driver.PublishError{}
	for i, m := range ms {
		err := ctx.Err()
		if err == nil {
			err = l.fire(topic, m)
		}
		if err != nil {
			failed.Indexes = append(failed.Indexes, i)
			failed.Err = errors.Join(failed.Err, err)
		}
	}
	switch len(failed.Indexes) {
	case 0:
		return nil
	case len(ms):
		return fmt.Errorf("natspubsub: %w", failed.Err)
	}
	return failed
}

func (l *lossy) fire(topic string, m driver.Message) error {
	msg := &nats.Msg{Subject: topic, Header: new(header).encode(m.Attributes, ""), Data: m.Data}
	if n, limit := size(msg), int(l.nc.MaxPayload()); limit > 0 && n > limit {
		return &driver.TooLargeError{Bytes: n, Limit: limit}
	}
	return l.nc.PublishMsg(msg)
}

func (*lossy) Subscribe(context.Context, driver.SubscribeOptions) (driver.Subscription, error) {
	return nil, permanentError{errors.New("natspubsub: a lossy publisher has no subscriptions")}
}
