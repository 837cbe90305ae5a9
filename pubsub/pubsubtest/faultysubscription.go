package pubsubtest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// faultySubscription is one subscription of a Faulty broker.
type faultySubscription struct {
	driver.Subscription
	f      *Faulty
	copies []*driver.Delivery // of what was delivered, to be delivered again; Receive has one caller at a time
}

// duplicate marks the handle of a delivery that the broker knows nothing of.
type duplicate struct{}

func (s *faultySubscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	if err := s.f.begin(ctx, CallReceive); err != nil {
		return nil, err
	}
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
	ds, err := s.f.interruptible(ctx, func(ctx context.Context) ([]*driver.Delivery, error) {
		return s.Subscription.Receive(ctx, n)
	})
	if len(ds) > 1 && s.f.roll(s.f.o.ReorderRatio, &s.f.faults.Reordered, 1) {
		ds = s.f.shuffled(ds)
	}
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
	h.Write([]byte(d.Attributes.Get("ce-id") + d.Position))
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
	if err := s.f.begin(ctx, CallAck); err != nil {
		return err
	}
	if s.f.crashes() {
		// What becomes of a broker's session when its process is gone, without the wait for a lease.
		return errors.Join(ErrInjected, s.Close(context.WithoutCancel(ctx)))
	}
	ds = originals(ds)
	if len(ds) == 0 || s.f.roll(s.f.o.DropAckRatio, &s.f.faults.DroppedAcks, len(ds)) {
		return nil
	}
	return s.Subscription.Ack(ctx, ds)
}

func (s *faultySubscription) Release(ctx context.Context, ds []*driver.Delivery, delay time.Duration) error {
	if err := s.f.begin(ctx, CallRelease); err != nil {
		return err
	}
	if ds = originals(ds); len(ds) == 0 {
		return nil
	}
	return s.Subscription.Release(ctx, ds, delay)
}

func (s *faultySubscription) Extend(ctx context.Context, ds []*driver.Delivery) error {
	if err := s.f.begin(ctx, CallExtend); err != nil {
		return err
	}
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

// Lag implements driver.Lagger.
func (s *faultySubscription) Lag(ctx context.Context) (driver.Lag, error) {
	if err := s.f.begin(ctx, CallLag); err != nil {
		return driver.Lag{}, err
	}
	l, ok := s.Subscription.(driver.Lagger)
	if !ok {
		return driver.Lag{}, lacks(CallLag)
	}
	return l.Lag(ctx)
}

// shuffled returns ds in another order, each key's in their own. Deliveries without a key are free.
func (f *Faulty) shuffled(ds []*driver.Delivery) []*driver.Delivery {
	lanes := make(map[string][]*driver.Delivery, len(ds))
	order := make([]string, len(ds))
	for i, d := range ds {
		key := d.Attributes.Get("ce-partitionkey")
		if key == "" {
			key = "\x00" + strconv.Itoa(i) // no key has a control character
		}
		order[i] = key
		lanes[key] = append(lanes[key], d)
	}
	f.mu.Lock()
	f.rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	f.mu.Unlock()
	shuffled := make([]*driver.Delivery, len(ds))
	for i, key := range order {
		shuffled[i], lanes[key] = lanes[key][0], lanes[key][1:]
	}
	return shuffled
}
