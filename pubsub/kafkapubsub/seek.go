package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Seek moves the offsets of a subscription's group, which has to be without members, in its topic. What is in its retry
// topic stays to be done. It implements driver.Seeker.
func (b *Broker) Seek(ctx context.Context, topic, name string, to driver.Start) error {
	if _, err := b.ensureTopic(ctx, topic); err != nil {
		return err
	}
	err := persist(ctx, func(ctx context.Context) error {
		listed, err := b.offsets(ctx, topic, to)
		if err != nil {
			return err
		}
		return b.commitAll(ctx, b.group(topic, name), listed.Offsets())
	})
	switch {
	case err == nil:
		return nil
	case hasMembers(err):
		err = fmt.Errorf("group %q has members, which have to end first: %w", b.group(topic, name), err)
	}
	return fmt.Errorf("kafkapubsub: seek %q of %q: %w", name, topic, err)
}

// hasMembers reports whether a commit from outside of a group was refused because somebody is inside.
func hasMembers(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) ||
		errors.Is(err, kerr.RebalanceInProgress)
}

// Lag counts what is stored and lies behind the offsets that the group has committed, whoever holds it; so a message
// that is done, and waits for an earlier one of its partition, counts. Oldest is of what this process holds. It
// implements driver.Lagger.
func (s *subscription) Lag(ctx context.Context) (driver.Lag, error) {
	n, err := s.b.behind(ctx, s.group, s.topics)
	if err != nil {
		return driver.Lag{}, fmt.Errorf("kafkapubsub: lag: %w", err)
	}
	l := driver.Lag{Messages: n}
	if n > 0 {
		l.Oldest = s.oldest()
	}
	return l, nil
}

func (b *Broker) behind(ctx context.Context, group string, topics []string) (int64, error) {
	done, err := b.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return 0, err
	}
	starts, err := b.admin.ListStartOffsets(ctx, topics...)
	if err := errors.Join(err, starts.Error()); err != nil {
		return 0, err
	}
	ends, err := b.admin.ListEndOffsets(ctx, topics...)
	if err := errors.Join(err, ends.Error()); err != nil {
		return 0, err
	}
	var n int64
	ends.Each(func(end kadm.ListedOffset) {
		var from int64
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok {
			from = start.Offset
		}
		if at, ok := done.Lookup(end.Topic, end.Partition); ok {
			from = max(from, at.At)
		}
		n += max(end.Offset-from, 0)
	})
	return n, nil
}

// oldest is when the oldest message that this process has here was stored.
func (s *subscription) oldest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest time.Time
	for _, p := range s.partitions {
		if len(p.entries) == 0 {
			continue
		}
		// The first one is not done: it would have been dropped.
		if at := p.entries[0].d.Published; oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}
