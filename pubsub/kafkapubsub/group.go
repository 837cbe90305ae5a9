package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// begin gives a group that has no offset for a partition of topic the one that start stands for. It tries for a moment:
// the first group of a cluster, and one whose coordinator moves, is not available at once.
func (b *Broker) begin(ctx context.Context, group, topic string, start driver.Start) error {
	return persist(ctx, func(ctx context.Context) error { return b.tryBegin(ctx, group, topic, start) })
}

func (b *Broker) tryBegin(ctx context.Context, group, topic string, start driver.Start) error {
	// In this order: another process that begins at the same time returns from Subscribe later than this reads, if this
	// does not see its offsets. What either commits is no later than what either has promised.
	from, err := b.offsets(ctx, topic, start)
	if err != nil {
		return err
	}
	have, err := b.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("fetch offsets: %w", err)
	}
	var missing kadm.Offsets
	from.Each(func(o kadm.ListedOffset) {
		if had, ok := have.Lookup(topic, o.Partition); !ok || had.Err != nil || had.At < 0 {
			missing.AddOffset(topic, o.Partition, o.Offset, o.LeaderEpoch)
		}
	})
	if len(missing) == 0 {
		return nil
	}
	err = b.commitAll(ctx, group, missing)
	if hasMembers(err) {
		return nil // they have begun
	}
	return err
}

// offsets returns where start is in each partition.
func (b *Broker) offsets(ctx context.Context, topic string, start driver.Start) (kadm.ListedOffsets, error) {
	var listed kadm.ListedOffsets
	var err error
	switch {
	case start.Earliest:
		listed, err = b.admin.ListStartOffsets(ctx, topic)
	case !start.Time.IsZero():
		listed, err = b.admin.ListOffsetsAfterMilli(ctx, ceilMilli(start.Time), topic)
	default:
		listed, err = b.admin.ListEndOffsets(ctx, topic)
	}
	if err := errors.Join(err, listed.Error()); err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	return listed, nil
}

// ceilMilli is the first millisecond, which is what Kafka's clock counts, that is not before t.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// commitAll commits offsets of a group without members.
func (b *Broker) commitAll(ctx context.Context, group string, os kadm.Offsets) error {
	rs, err := b.admin.CommitOffsets(ctx, group, os)
	if err := errors.Join(err, rs.Error()); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	return nil
}

// commitDone commits what is done and not yet committed.
func (s *subscription) commitDone(ctx context.Context) error {
	return s.commitThen(ctx, func() {})
}

// commitThen commits what is done and then calls f, before anything else is committed, with s.mu held. It calls f in
// any case.
func (s *subscription) commitThen(ctx context.Context, f func()) error {
	select {
	case s.commit <- struct{}{}:
		defer func() { <-s.commit }()
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
		return ctx.Err()
	}
	s.mu.Lock()
	marks := make(map[string]map[int32]kgo.EpochOffset)
	for at, p := range s.partitions {
		if !p.dirty() {
			continue
		}
		if marks[at.topic] == nil {
			marks[at.topic] = make(map[int32]kgo.EpochOffset)
		}
		marks[at.topic][at.id] = p.watermark()
	}
	s.mu.Unlock()
	var err error
	if len(marks) > 0 {
		err = s.commitMarks(ctx, marks)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	return err
}

func (s *subscription) commitMarks(ctx context.Context, marks map[string]map[int32]kgo.EpochOffset) error {
	var failed error
	s.client.CommitOffsetsSync(ctx, marks, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest,
		res *kmsg.OffsetCommitResponse, err error,
	) {
		if err != nil {
			failed = err
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, t := range res.Topics {
			for _, r := range t.Partitions {
				if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
					failed = err
				} else if p := s.partitions[place{t.Topic, r.Partition}]; p != nil {
					p.committed = max(p.committed, marks[t.Topic][r.Partition].Offset)
				}
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("kafkapubsub: commit offsets: %w", failed)
	}
	return nil
}

// assigned takes partitions in.
func (s *subscription) assigned(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, ids := range topics {
		for _, id := range ids {
			s.partitions[place{topic, id}] = &partition{topic: topic, id: id, committed: -1}
		}
	}
}

// revoked gives partitions up: what runs is waited for, then committed.
func (s *subscription) revoked(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
	leaving := s.leave(topics)
	wait, cancel := context.WithTimeout(ctx, max(s.b.o.RevokeTimeout, 0))
	defer cancel()
	for _, p := range leaving {
		select {
		case <-p.idle:
		case <-wait.Done():
		case <-s.closed: // nobody settles any more
		}
	}
	ctx, cancelCommit := context.WithTimeout(ctx, commitTimeout)
	defer cancelCommit()
	// What cannot be committed is handled once more.
	_ = s.commitThen(ctx, func() { s.remove(leaving) })
}

// commitTimeout bounds the last commit for partitions that leave.
const commitTimeout = 5 * time.Second

// lost drops partitions that are somebody else's already.
func (s *subscription) lost(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	leaving := s.leave(topics)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(leaving)
}

// leave begins to give partitions up: nothing of them is received any more, and what is held is called back.
func (s *subscription) leave(topics map[string][]int32) []*partition {
	s.mu.Lock()
	var leaving []*partition
	var ds []*driver.Delivery
	for topic, ids := range topics {
		for _, id := range ids {
			if p := s.partitions[place{topic, id}]; p != nil && !p.leaving {
				ds = append(ds, p.leave()...)
				leaving = append(leaving, p)
			}
		}
	}
	s.dropIdle()
	s.mu.Unlock()
	if len(ds) > 0 && s.o.Revoke != nil {
		s.o.Revoke(ds)
	}
	return leaving
}

// dropIdle forgets what is not held of partitions that leave.
func (s *subscription) dropIdle() {
	leaving := func(e *entry) bool { return e.p.leaving }
	s.ready.remove(leaving)
	s.away = slices.DeleteFunc(s.away, leaving)
	s.blockKeys()
}

// remove makes partitions somebody else's.
func (s *subscription) remove(ps []*partition) {
	for _, p := range ps {
		p.gone = true
		if p.paused { // the client remembers, and the partition may come back
			s.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.id}})
		}
		if at := (place{p.topic, p.id}); s.partitions[at] == p {
			delete(s.partitions, at)
		}
	}
}

// shut ends the client, in the background where a broker that is away keeps it from ending within ctx.
func (s *subscription) shut(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.client.CloseAllowingRebalance()
		<-s.polled
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}
