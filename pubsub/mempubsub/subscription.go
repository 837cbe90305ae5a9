package mempubsub

import (
	"context"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// subscription is one receiver of a queue. It implements driver.Subscription.
type subscription struct {
	b      *Broker
	q      *queue
	lease  time.Duration
	leased entryList // by the end of the lease
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
	ds = s.q.take(s, n, now)
	if len(ds) == 0 {
		if s.q.arrived == nil {
			s.q.arrived = make(chan struct{})
		}
		return nil, s.q.arrived, s.q.due(now), nil
	}
	s.b.madeRoom()
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
		case e.list == nil: // settled before
		case e.holder == nil:
			e.list.remove(e)
		default:
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
			s.leased.remove(e)
			s.leased.insert(e, nil)
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
	s.q.receivers = slices.DeleteFunc(s.q.receivers, func(r *subscription) bool { return r == s })
	now := time.Now()
	for s.leased.front != nil {
		s.q.putBack(s.leased.front, now)
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
	lag := driver.Lag{Messages: int64(s.q.waiting.n)}
	if e := s.q.waiting.front; e != nil {
		lag.Oldest = e.published
	}
	for _, r := range s.q.receivers {
		lag.Messages += int64(r.leased.n)
		for e := r.leased.front; e != nil; e = e.next {
			if lag.Oldest.IsZero() || e.published.Before(lag.Oldest) {
				lag.Oldest = e.published
			}
		}
	}
	return lag, nil
}
