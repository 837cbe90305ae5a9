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
	more   chan struct{}      // holds a token when there may be room for more
	wake   chan struct{}      // holds a token when Receive has to look
	closed chan struct{}
	commit chan struct{} // holds a token while offsets are committed
	close  sync.Once
	err    error // what Close returned

	mu         sync.Mutex
	fault      error
	partitions map[place]*partition
	ready      queue
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
		if !errors.Is(err, errMissing) {
			return nil, err
		}
		topics = topics[:1] // Options.NoCreate; Redeliver says so, too
	}
	group := b.group(o.Topic, o.Name)
	starts := []driver.Start{o.Start, {Earliest: true}}
	for i, topic := range topics {
		if err := b.begin(ctx, group, topic, starts[i]); err != nil {
			return nil, fmt.Errorf("kafkapubsub: subscribe %q to %q: %w", o.Name, o.Topic, err)
		}
	}
	s := &subscription{
		b: b, o: o, group: group, topics: topics,
		polled: make(chan struct{}), more: make(chan struct{}, 1), wake: make(chan struct{}, 1),
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

const (
	// maxFetchWait bounds how long a fetch waits at the broker while there is nothing: what is assigned meanwhile is
	// fetched after it. It is Kafka's own default (fetch.max.wait.ms).
	maxFetchWait = 500 * time.Millisecond
	// maxMetadataAge bounds how long it takes to see that a topic has more partitions.
	maxMetadataAge = time.Minute
)

func (s *subscription) options() []kgo.Opt {
	of := func(option any) time.Duration {
		d, _ := s.b.client.OptValue(option).(time.Duration)
		return d
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(s.group),
		kgo.ConsumeTopics(s.topics...),
		// Where the group has no offset after begin, the partition is new, and so is all that is in it.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(s.b.o.SessionTimeout),
		kgo.HeartbeatInterval(min(of(kgo.HeartbeatInterval), s.b.o.SessionTimeout/3)),
		// Until what was fetched is entered here, no partition may leave.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
		kgo.FetchMaxWait(min(of(kgo.FetchMaxWait), maxFetchWait)),
		kgo.MetadataMaxAge(max(of(kgo.MetadataMinAge), min(of(kgo.MetadataMaxAge), maxMetadataAge))),
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
	s.comeBack()
	ds := make([]*driver.Delivery, 0, min(n, s.ready.len()))
	for len(ds) < n && s.ready.len() > 0 {
		e := s.ready.pop()
		if due, waits := s.waitsBehind(e); waits {
			s.setAside(e, due)
			continue
		}
		e.state = held
		e.p.holding++
		ds = append(ds, &e.d)
	}
	if s.ready.low() {
		notify(s.more)
	}
	if len(ds) > 0 {
		return ds, 0, nil
	}
	if err := s.fault; err != nil {
		s.fault = nil
		return nil, 0, err
	}
	if len(s.away) > 0 {
		return nil, time.Until(s.away[0].due), nil
	}
	return nil, time.Hour, nil
}

// waitsBehind reports whether a released message of e's key has to be received first, and when that will be.
func (s *subscription) waitsBehind(e *entry) (time.Time, bool) {
	if len(s.blocked) == 0 {
		return time.Time{}, false
	}
	due, waits := s.blocked[e.d.Key]
	return due, waits
}

// pollRecords is how many records one poll takes out of the client at most. Only when it has none left does the client
// fetch the next ones from that broker.
const pollRecords = 8192

// poll fetches ahead of Receive. It is a goroutine of its own, because a poll waits for a rebalance, whatever its
// context.
func (s *subscription) poll(ctx context.Context) {
	defer close(s.polled)
	var c decoder
	for ctx.Err() == nil {
		n := s.room()
		if n == 0 {
			select {
			case <-ctx.Done():
			case <-s.more:
			}
			continue
		}
		s.enter(&c, s.client.PollRecords(ctx, n))
		s.client.AllowRebalance()
	}
}

// room returns how many records may be fetched now. None while an error waits to be received: whoever does decides when
// to go on.
func (s *subscription) room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil || !s.ready.low() {
		return 0
	}
	n, most := pollRecords, s.b.o.MaxUncommitted
	if most <= 0 {
		return n
	}
	n = min(n, most)
	for _, p := range s.partitions {
		if !p.paused {
			n = min(n, most-len(p.entries)) // at least 1: at the bound it is paused
		}
	}
	return n
}

// enter takes in what was fetched.
func (s *subscription) enter(c *decoder, fetches kgo.Fetches) {
	type arrival struct {
		at place
		es []*entry
	}
	var arrivals []arrival
	var fault error
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) > 0 {
			arrivals = append(arrivals, arrival{place{f.Topic, f.Partition}, c.entries(f.Records)})
		}
		if err := f.Err; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) {
			fault = fmt.Errorf("kafkapubsub: receive from %q: %w", f.Topic, err)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range arrivals {
		p := s.partitions[a.at]
		if p == nil || p.leaving {
			continue
		}
		for _, e := range a.es {
			if e.offset < p.next {
				continue // here already
			}
			p.add(e)
			s.ready.push(e)
		}
		s.throttle(p)
	}
	if fault != nil {
		s.fault = fault
	}
	notify(s.wake)
}

// throttle pauses a partition that has run too far ahead, and resumes it when its head has moved.
func (s *subscription) throttle(p *partition) {
	most := s.b.o.MaxUncommitted
	switch {
	case most > 0 && !p.paused && len(p.entries) >= most:
		p.paused = true
		s.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.id}})
	case p.paused && len(p.entries) <= most/2:
		p.paused = false
		s.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.id}})
	}
}

// notify leaves a token in c, unless there is one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
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
		e.p.finish(e)
		if !e.p.gone {
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
	notify(s.wake)
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
func (s *subscription) comeBack() {
	if len(s.away) == 0 {
		return
	}
	now, n := time.Now(), 0
	for n < len(s.away) && !s.away[n].due.After(now) {
		s.away[n].state = ready
		n++
	}
	if n == 0 {
		return
	}
	back := slices.Clone(s.away[:n])
	s.away = slices.Delete(s.away, 0, n)
	s.blockKeys()
	s.putFirst(back)
}

// blockKeys makes the keys of what is away wait, and no others.
func (s *subscription) blockKeys() {
	clear(s.blocked)
	for _, e := range s.away {
		if key := e.d.Key; key != "" {
			s.blocked[key] = e.due
		}
	}
}

// putFirst makes entries the next to be received, those of one partition as published.
func (s *subscription) putFirst(es []*entry) {
	slices.SortStableFunc(es, func(a, b *entry) int { return int(min(max(a.offset-b.offset, -1), 1)) })
	s.ready.putFirst(es)
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
