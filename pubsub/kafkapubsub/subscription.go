package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// subscription is one member of a consumer group.
type subscription struct {
	b      *Broker
	o      driver.SubscribeOptions
	client *kgo.Client
	group  string
	topics []string

	stop   context.CancelFunc // ends poll
	polled chan struct{}      // closed when poll has ended
	ask    chan struct{}      // holds a token while poll is to fetch
	wake   chan struct{}      // holds a token when Receive has to look
	closed chan struct{}
	commit chan struct{} // holds a token while offsets are committed
	close  sync.Once
	err    error // what Close returned

	mu         sync.Mutex
	want       int // records that the next poll may fetch
	fault      error
	partitions map[place]*partition
	ready      []*entry
	away       []*entry             // released, the earliest due first
	blocked    map[string]time.Time // keys of those: what is behind waits, too
}

// place names a partition.
type place struct {
	topic string
	id    int32
}

// Subscribe joins the consumer group of a subscription, with its partitions to come. Where the group has no offset for
// a partition, it begins there at o.Start. It implements driver.Broker.
func (b *Broker) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	topics := []string{o.Topic, retryTopic(o.Topic, o.Name)}
	if err := b.Declare(ctx, topics[:1]); err != nil {
		return nil, err
	}
	if err := b.Declare(ctx, topics[1:]); err != nil {
		if !b.o.NoCreate {
			return nil, err
		}
		topics = topics[:1] // then Redeliver says that it is missing
	}
	group := b.group(o.Topic, o.Name)
	if err := b.begin(ctx, group, o.Topic, o.Start); err != nil {
		return nil, fmt.Errorf("kafkapubsub: subscribe %q to %q: %w", o.Name, o.Topic, err)
	}
	s := &subscription{
		b: b, o: o, group: group, topics: topics,
		polled: make(chan struct{}), ask: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		closed: make(chan struct{}), commit: make(chan struct{}, 1),
		partitions: make(map[place]*partition), blocked: make(map[string]time.Time),
	}
	var err error
	if s.client, err = kgo.NewClient(append(slices.Clone(b.client.Opts()), s.options()...)...); err != nil {
		return nil, permanentError{fmt.Errorf("kafkapubsub: %w", err)}
	}
	polling, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.poll(polling)
	return s, nil
}

func (s *subscription) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(s.group),
		kgo.ConsumeTopics(s.topics...),
		// Where the group has no offset after begin, the partition is new, and so is all that is in it.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(s.b.o.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, s.b.o.SessionTimeout/3)),
		// Until what was fetched is entered here, no partition may leave.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
		kgo.DisableClientMetrics(),
	}
	if s.b.o.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(s.b.o.InstanceID))
	}
	return opts
}

// Receive implements driver.Subscription.
func (s *subscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	for {
		ds, pause, err := s.take(ctx, n)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		select {
		case s.ask <- struct{}{}:
		default:
		}
		due := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-s.closed:
		case <-s.wake:
		case <-due.C:
		}
		due.Stop()
	}
}

// take returns what is here, at most n, and otherwise when something will be due.
func (s *subscription) take(ctx context.Context, n int) ([]*driver.Delivery, time.Duration, error) {
	select {
	case <-s.closed:
		return nil, 0, driver.ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.comeBack(now)
	var ds []*driver.Delivery
	for len(ds) < n && len(s.ready) > 0 {
		e := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		if due, waits := s.blocked[e.d.Key]; waits && e.d.Key != "" {
			s.setAside(e, due)
			continue
		}
		e.state = held
		e.p.holding++
		ds = append(ds, e.d)
	}
	if len(ds) > 0 {
		return ds, 0, nil
	}
	if err := s.fault; err != nil {
		s.fault = nil
		return nil, 0, err
	}
	s.want = n
	if len(s.away) > 0 {
		return nil, s.away[0].due.Sub(now), nil
	}
	return nil, time.Hour, nil
}

// poll fetches when it is asked to. It is a goroutine of its own, because a poll waits for a rebalance, whatever its
// context.
func (s *subscription) poll(ctx context.Context) {
	defer close(s.polled)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.ask:
		}
		s.mu.Lock()
		want := s.want
		enough := len(s.ready) > 0 || want == 0
		s.mu.Unlock()
		if enough {
			continue
		}
		fetches := s.client.PollRecords(ctx, want)
		s.enter(fetches)
		s.client.AllowRebalance()
	}
}

// enter takes in what was fetched.
func (s *subscription) enter(fetches kgo.Fetches) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fetches.EachError(func(topic string, _ int32, err error) {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) {
			s.fault = fmt.Errorf("kafkapubsub: receive from %q: %w", topic, err)
		}
	})
	fetches.EachRecord(func(r *kgo.Record) {
		p := s.partitions[place{r.Topic, r.Partition}]
		if p == nil || p.leaving || r.Offset < p.next {
			return // of one that has left, or here already
		}
		s.ready = append(s.ready, p.add(r))
		s.throttle(p)
	})
	s.signal()
}

// throttle pauses a partition that has run too far ahead, and resumes it when its head has moved.
func (s *subscription) throttle(p *partition) {
	most := s.b.o.MaxUncommitted
	where := map[string][]int32{p.topic: {p.id}}
	switch {
	case most > 0 && !p.paused && len(p.entries) >= most:
		p.paused = true
		s.client.PauseFetchPartitions(where)
	case p.paused && len(p.entries) <= most/2:
		p.paused = false
		s.client.ResumeFetchPartitions(where)
	}
}

// signal makes Receive look.
func (s *subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Ack returns once the offset below which all is done is committed. One that is done beyond an unfinished record is
// remembered, in this process alone.
func (s *subscription) Ack(ctx context.Context, ds []*driver.Delivery) error {
	s.mu.Lock()
	for _, d := range ds {
		e := d.Handle.(*entry)
		if e.state != held {
			continue
		}
		e.state, e.d = done, nil
		e.p.let()
		if !e.p.gone {
			e.p.advance()
			s.throttle(e.p)
		}
	}
	s.mu.Unlock()
	return s.commitDone(ctx)
}

// Release keeps ds, to be received again here, unless their partition leaves.
func (s *subscription) Release(_ context.Context, ds []*driver.Delivery, delay time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var now []*entry
	for _, d := range ds {
		e := d.Handle.(*entry)
		if e.state != held {
			continue
		}
		e.state = ready
		e.p.let()
		switch {
		case e.p.leaving || e.p.gone: // uncommitted: who takes over gets it
		case delay > 0:
			s.setAside(e, time.Now().Add(delay))
		default:
			now = append(now, e)
		}
	}
	s.putFirst(now)
	s.signal()
	return nil
}

// Extend does nothing: Kafka has no leases. A record stays with its process as long as the partition does.
func (s *subscription) Extend(context.Context, []*driver.Delivery) error { return nil }

// setAside keeps e, and what follows of its key, until due.
func (s *subscription) setAside(e *entry, due time.Time) {
	e.state, e.due = away, due
	at, _ := slices.BinarySearchFunc(s.away, e, before)
	s.away = slices.Insert(s.away, at, e)
	if key := e.d.Key; key != "" && s.blocked[key].Before(due) {
		s.blocked[key] = due
	}
}

// before orders by time, then as published.
func before(a, b *entry) int {
	if c := a.due.Compare(b.due); c != 0 {
		return c
	}
	return int(min(max(a.offset-b.offset, -1), 1))
}

// comeBack makes ready what is due.
func (s *subscription) comeBack(now time.Time) {
	n := 0
	for n < len(s.away) && !s.away[n].due.After(now) {
		s.away[n].state = ready
		delete(s.blocked, s.away[n].d.Key)
		n++
	}
	back := slices.Clone(s.away[:n])
	s.away = slices.Delete(s.away, 0, n)
	for _, e := range s.away {
		if key := e.d.Key; key != "" {
			s.blocked[key] = e.due
		}
	}
	s.putFirst(back)
}

// putFirst makes entries the next to be received, those of one partition as published.
func (s *subscription) putFirst(es []*entry) {
	if len(es) == 0 {
		return
	}
	slices.SortStableFunc(es, func(a, b *entry) int { return int(min(max(a.offset-b.offset, -1), 1)) })
	s.ready = append(es, s.ready...)
}

// Close commits what is done and leaves the group, within ctx. What is not done goes to whoever takes over.
func (s *subscription) Close(ctx context.Context) error {
	s.close.Do(func() {
		close(s.closed)
		s.stop()
		err := s.commitDone(ctx)
		if err == nil && s.b.o.InstanceID == "" {
			err = s.client.LeaveGroupContext(ctx)
		}
		if err != nil {
			s.err = fmt.Errorf("kafkapubsub: close: %w", err)
		}
		s.shut(ctx)
	})
	return s.err
}
