package pubsubtest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// ErrInjected matches every error that a [Faulty] broker makes up.
var ErrInjected = errors.New("pubsubtest: injected fault")

// FaultOptions says what goes wrong, and how often. The zero value injects nothing. Ratios lie between 0, never, and
// 1, always; less counts as 0, more as 1.
type FaultOptions struct {
	// Seed makes the faults repeatable: the same seed picks the same messages to duplicate, and the same calls, in
	// their order, to fail. Zero is a seed like any other.
	Seed uint64
	// DuplicateRatio is the share of messages that each subscription gets twice, the copy after the original. Which
	// ones depends on Seed and their IDs alone. Zero and negative mean none.
	DuplicateRatio float64
	// FailPublishRatio is the share of Publish calls that fail with nothing stored. Zero and negative mean none.
	FailPublishRatio float64
	// LoseConfirmRatio is the share of Publish calls that store everything and fail all the same. Zero and negative
	// mean none.
	LoseConfirmRatio float64
	// FailFirst says how many Publish calls to a topic fail, with nothing stored, before the first may succeed. Nil, a
	// topic that is not in it, and a number of zero or less mean none.
	FailFirst map[string]int
	// DropAckRatio is the share of Ack calls that report success and do nothing. Zero and negative mean none.
	DropAckRatio float64
	// FailReceiveRatio is the share of Receive calls that fail, having taken nothing. Zero and negative mean none.
	FailReceiveRatio float64
}

// Faults counts what a [Faulty] broker did.
type Faults struct {
	Duplicated       int // deliveries made twice
	FailedPublishes  int // Publish calls that failed, nothing stored
	LostConfirms     int // Publish calls that failed, everything stored
	DroppedAcks      int // deliveries whose acknowledgement was dropped
	FailedReceptions int // Receive calls that failed
}

// Faulty is a broker in front of another that injects faults. It is safe for concurrent use.
type Faulty struct {
	b driver.Broker
	o FaultOptions

	mu        sync.Mutex
	rand      *rand.Rand
	faults    Faults
	failFirst map[string]int
}

// NewFaulty returns b with the faults of o in front. It has the optional abilities that b has.
func NewFaulty(b driver.Broker, o FaultOptions) *Faulty {
	f := &Faulty{b: b, o: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), failFirst: make(map[string]int)}
	for topic, n := range o.FailFirst {
		f.failFirst[topic] = n
	}
	return f
}

// Faults returns what f did so far.
func (f *Faulty) Faults() Faults {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults
}

// roll reports whether a fault of that ratio strikes now, and counts it by n in count.
func (f *Faulty) roll(ratio float64, count *int, n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ratio <= 0 || f.rand.Float64() >= ratio {
		return false
	}
	*count += n
	return true
}

// Publish implements driver.Broker.
func (f *Faulty) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	if f.failsFirst(topic) || f.roll(f.o.FailPublishRatio, &f.faults.FailedPublishes, 1) {
		return ErrInjected
	}
	if err := f.b.Publish(ctx, topic, ms); err != nil {
		return err
	}
	if !f.roll(f.o.LoseConfirmRatio, &f.faults.LostConfirms, 1) {
		return nil
	}
	e := &driver.PublishError{Err: ErrInjected}
	for i := range ms {
		e.Indexes = append(e.Indexes, i)
	}
	return e
}

func (f *Faulty) failsFirst(topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failFirst[topic] <= 0 {
		return false
	}
	f.failFirst[topic]--
	f.faults.FailedPublishes++
	return true
}

// Subscribe implements driver.Broker.
func (f *Faulty) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	sub, err := f.b.Subscribe(ctx, o)
	if err != nil {
		return nil, err
	}
	return &faultySubscription{Subscription: sub, f: f}, nil
}

// Declare implements driver.Declarer.
func (f *Faulty) Declare(ctx context.Context, topics []string) error {
	if d, ok := f.b.(driver.Declarer); ok {
		return d.Declare(ctx, topics)
	}
	return nil
}

// Ping implements driver.Pinger.
func (f *Faulty) Ping(ctx context.Context) error {
	if p, ok := f.b.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// System implements driver.System.
func (f *Faulty) System() string {
	if s, ok := f.b.(driver.System); ok {
		return s.System()
	}
	return ""
}

// faultySubscription is one subscription of a Faulty broker.
type faultySubscription struct {
	driver.Subscription
	f      *Faulty
	copies []*driver.Delivery // of what was delivered, to be delivered again; Receive has one caller at a time
}

// duplicate marks the handle of a delivery that the broker knows nothing of.
type duplicate struct{}

func (s *faultySubscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	if s.f.roll(s.f.o.FailReceiveRatio, &s.f.faults.FailedReceptions, 1) {
		return nil, ErrInjected
	}
	if k := min(n, len(s.copies)); k > 0 {
		ds := s.copies[:k:k]
		s.copies = s.copies[k:]
		return ds, nil
	}
	return s.receive(ctx, n)
}

func (s *faultySubscription) receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	ds, err := s.Subscription.Receive(ctx, n)
	for _, d := range ds {
		if !s.f.duplicates(d) {
			continue
		}
		c := *d
		c.Handle = duplicate{}
		if c.Attempt > 0 {
			c.Attempt++
		}
		s.copies = append(s.copies, &c)
	}
	return ds, err
}

// duplicates decides by the message's ID, at its first delivery only, so that the number of copies does not depend on
// what else goes wrong.
func (f *Faulty) duplicates(d *driver.Delivery) bool {
	if f.o.DuplicateRatio <= 0 || d.Attempt > 1 {
		return false
	}
	h := fnv.New64a()
	h.Write(strconv.AppendUint(nil, f.o.Seed, 10))
	h.Write([]byte(d.Attributes["ce-id"] + d.Position))
	// The high bits of FNV are poor for short input; a generator seeded with it spreads them.
	if rand.New(rand.NewPCG(h.Sum64(), 0)).Float64() >= f.o.DuplicateRatio {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults.Duplicated++
	return true
}

func (s *faultySubscription) Ack(ctx context.Context, ds []*driver.Delivery) error {
	ds = originals(ds)
	if len(ds) == 0 || s.f.roll(s.f.o.DropAckRatio, &s.f.faults.DroppedAcks, len(ds)) {
		return nil
	}
	return s.Subscription.Ack(ctx, ds)
}

func (s *faultySubscription) Release(ctx context.Context, ds []*driver.Delivery, delay time.Duration) error {
	if ds = originals(ds); len(ds) == 0 {
		return nil
	}
	return s.Subscription.Release(ctx, ds, delay)
}

func (s *faultySubscription) Extend(ctx context.Context, ds []*driver.Delivery) error {
	if ds = originals(ds); len(ds) == 0 {
		return nil
	}
	return s.Subscription.Extend(ctx, ds)
}

// originals leaves out the copies, of which the broker knows nothing.
func originals(ds []*driver.Delivery) []*driver.Delivery {
	var known []*driver.Delivery
	for _, d := range ds {
		if _, ok := d.Handle.(duplicate); !ok {
			known = append(known, d)
		}
	}
	return known
}
