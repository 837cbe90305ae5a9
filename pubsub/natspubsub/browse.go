package natspubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// place is where a browsed message is stored.
type place struct {
	stream string
	seq    uint64
}

// Browse reads a message at a time, without a consumer. It implements driver.Browser. A topic without a stream is
// empty; none is created.
func (b *Broker) Browse(ctx context.Context, topic, cursor string, n int) ([]*driver.Delivery, string, error) {
	var after uint64
	if cursor != "" {
		var err error
		if after, err = strconv.ParseUint(cursor, 10, 64); err != nil {
			return nil, cursor, permanentError{
				fmt.Errorf("natspubsub: browse %q: cursor %q is none of Browse's", topic, cursor),
			}
		}
	}
	s, err := b.findStream(ctx, topic)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, cursor, nil
	}
	if err != nil {
		return nil, cursor, fmt.Errorf("natspubsub: browse %q: %w", topic, err)
	}
	var ds []*driver.Delivery
	for len(ds) < n {
		m, err := s.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(topic))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return ds, strconv.FormatUint(after, 10), fmt.Errorf("natspubsub: browse %q: %w", topic, err)
		}
		after = m.Sequence
		ds = append(ds, browsed(s.CachedInfo().Config.Name, m))
	}
	return ds, strconv.FormatUint(after, 10), nil
}

func browsed(stream string, m *jetstream.RawStreamMsg) *driver.Delivery {
	return &driver.Delivery{
		Message:   driver.Message{Attributes: decodeHeader(m.Header), Data: m.Data},
		Published: m.Time,
		Position:  position(stream, m.Sequence),
		Handle:    place{stream, m.Sequence},
	}
}

// position names a message's place.
func position(stream string, seq uint64) string { return stream + "/" + strconv.FormatUint(seq, 10) }

// Remove deletes ds from their stream, for all subscriptions. It implements driver.Browser.
func (b *Broker) Remove(ctx context.Context, topic string, ds []*driver.Delivery) error {
	for _, d := range ds {
		at, ok := d.Handle.(place)
		if !ok {
			return permanentError{fmt.Errorf("natspubsub: remove %q: %s was not browsed", topic, d.Position)}
		}
		if err := b.remove(ctx, at); err != nil {
			return fmt.Errorf("natspubsub: remove %q: %s: %w", topic, d.Position, err)
		}
	}
	return nil
}

func (b *Broker) remove(ctx context.Context, at place) error {
	s, err := b.js.Stream(ctx, at.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	refused := s.DeleteMsg(ctx, at.seq)
	if refused == nil {
		return nil
	}
	// The server does not say whether it is gone already.
	if _, err := s.GetMsg(ctx, at.seq); errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return refused
}
