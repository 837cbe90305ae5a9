package mempubsub

import (
	"context"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// subscription is one receiver of a queue. It implements driver.Subscription.
type subscription struct {
	b      *Broker
	q      *queue
	lease  time.Duration
	closed chan struct{}
}

func (s *subscription) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *subscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ds, arrived, next, err := s.take(n)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		if err := s.wait(ctx, arrived, next); err != nil {
			return nil, err
		}
	}
}

// take leases what is there, or returns what to wait for.
func (s *subscription) take(n int) (ds []*driver.Delivery, arrived <-chan struct{}, next time.Time, err error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.isClosed() {
		return nil, nil, next, driver.ErrClosed
	}
	now := time.Now()
	s.q.expire(now)
	entries := s.q.take(s, n, now)
	if len(entries) == 0 {
		if s.q.arrived == nil {
			s.q.arrived = make(chan struct{})
		}
		return nil, s.q.arrived, s.q.next(now), nil
	}
	s.b.madeRoom()
	ds = make([]*driver.Delivery, len(entries))
	for i, e := range entries {
		ds[i] = &driver.Delivery{
			Message: e.Message, Attempt: e.deliveries, Published: e.published, Position: e.position, Handle: e,
		}
	}
	return ds, nil, next, nil
}

func (s *subscription) wait(ctx context.Context, arrived <-chan struct{}, next time.Time) error {
	var due <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(time.Until(next))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-arrived:
	case <-due:
	case <-s.closed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Ack removes the messages, also where the lease was lost meanwhile: they are done.
func (s *subscription) Ack(_ context.Context, ds []*driver.Delivery) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for _, d := range ds {
		e := d.Handle.(*entry)
		switch {
		case e.place != nil:
			s.q.waiting.Remove(e.place)
			e.place = nil
		case e.holder != nil:
			s.q.settle(e)
		}
	}
	s.q.notify() // another receiver may have waited for the key
	s.b.madeRoom()
	return nil
}

// Release puts back what s still leases.
func (s *subscription) Release(_ context.Context, ds []*driver.Delivery, delay time.Duration) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	until := time.Now().Add(delay)
	for _, d := range ds {
		if e := d.Handle.(*entry); e.holder == s {
			s.q.putBack(e, until)
		}
	}
	s.q.notify()
	return nil
}

// Extend renews the leases that s still has.
func (s *subscription) Extend(_ context.Context, ds []*driver.Delivery) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	until := time.Now().Add(s.lease)
	for _, d := range ds {
		if e := d.Handle.(*entry); e.holder == s {
			e.until = until
		}
	}
	return nil
}

// Close puts back everything that s leases.
func (s *subscription) Close(context.Context) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.isClosed() {
		return nil
	}
	close(s.closed)
	s.q.receivers--
	now := time.Now()
	for e := range s.q.leased {
		if e.holder == s {
			s.q.putBack(e, now)
		}
	}
	s.q.notify()
	return nil
}

// Lag counts what waits and what is leased. It implements driver.Lagger.
func (s *subscription) Lag(ctx context.Context) (driver.Lag, error) {
	if err := ctx.Err(); err != nil {
		return driver.Lag{}, err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	lag := driver.Lag{Messages: int64(s.q.waiting.Len() + len(s.q.leased))}
	if el := s.q.waiting.Front(); el != nil {
		lag.Oldest = el.Value.(*entry).published
	}
	for e := range s.q.leased {
		if lag.Oldest.IsZero() || e.published.Before(lag.Oldest) {
			lag.Oldest = e.published
		}
	}
	return lag, nil
}
