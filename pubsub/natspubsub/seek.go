package natspubsub

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Seek deletes the subscription's consumer and makes one that begins at to. It implements driver.Seeker. It returns an
// error while somebody waits for messages, and for a subscription that does not exist. After any other error, or when
// this process ends in the middle, the consumer may be missing: seek again before the subscription opens, because it
// would begin at its Start. Messages that were redelivered are in the stream like others, and come again.
func (b *Broker) Seek(ctx context.Context, topic, name string, to driver.Start) error {
	if err := b.seek(ctx, topic, name, to); err != nil {
		return fmt.Errorf("natspubsub: seek: subscription %q of %q: %w", name, topic, err)
	}
	return nil
}

func (b *Broker) seek(ctx context.Context, topic, name string, to driver.Start) error {
	s, err := b.findStream(ctx, topic)
	if err != nil {
		return err
	}
	c, err := s.Consumer(ctx, durable(topic, name))
	if err != nil {
		return err
	}
	info := c.CachedInfo()
	if err := belongs(info.Config, topic, name); err != nil {
		return err
	}
	if info.NumWaiting > 0 {
		return fmt.Errorf("it has %d receivers, want none", info.NumWaiting)
	}
	moved := info.Config
	setStart(&moved, to)
	if err := s.DeleteConsumer(ctx, moved.Durable); err != nil {
		return err
	}
	_, err = s.CreateConsumer(ctx, moved)
	return err
}

// Lag asks the server what the consumer has not delivered and what is not acknowledged. It implements driver.Lagger.
// Oldest does not tell what was redelivered.
func (s *subscription) Lag(ctx context.Context) (driver.Lag, error) {
	l, err := s.lag(ctx)
	if err != nil {
		return l, fmt.Errorf("natspubsub: lag of %q on %q: %w", s.o.Name, s.o.Topic, err)
	}
	return l, nil
}

func (s *subscription) lag(ctx context.Context) (driver.Lag, error) {
	str, err := s.b.findStream(ctx, s.o.Topic)
	if err != nil {
		return driver.Lag{}, err
	}
	c, err := str.Consumer(ctx, durable(s.o.Topic, s.o.Name))
	if err != nil {
		return driver.Lag{}, err
	}
	info := c.CachedInfo()
	l := driver.Lag{Messages: int64(info.NumPending) + int64(info.NumAckPending)}
	if l.Messages == 0 {
		return l, nil
	}
	m, err := str.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(s.o.Topic))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return l, nil // gone by a limit of the stream, or done meanwhile
	}
	if err != nil {
		return l, err
	}
	l.Oldest = m.Time
	return l, nil
}
