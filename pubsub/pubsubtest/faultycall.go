package pubsubtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Disconnect makes the broker unreachable: every call fails, those of Receive that are under way included, until
// reconnect is called. What is leased stays so while its lease lasts. A second Disconnect meanwhile changes nothing,
// and any reconnect ends it.
func (f *Faulty) Disconnect() (reconnect func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = true
	for cancel := range f.receiving {
		(*cancel)()
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.away = false
	}
}

// begin is what every call does first: it fails, or begins late, if that is its fate.
func (f *Faulty) begin(ctx context.Context, c Call) error {
	if err := f.fails(c); err != nil {
		return err
	}
	delay := cmp.Or(f.o.Delay, 100*time.Millisecond)
	if delay < 0 || !f.roll(f.o.DelayRatio, &f.faults.Delayed, 1) {
		return nil
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Faulty) fails(c Call) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[c]++
	switch n := f.calls[c]; {
	case f.away:
		f.faults.Refused++
		return fmt.Errorf("%w: the broker is away", ErrInjected)
	case slices.Contains(f.o.FailCalls[c], n):
		f.faults.FailedCalls++
		return fmt.Errorf("%w: call %d of %s", ErrInjected, n, c)
	}
	return nil
}

// crashes reports whether this is the Ack call to die at.
func (f *Faulty) crashes() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acks++
	if f.acks != f.o.CrashAtAck {
		return false
	}
	f.faults.Crashes++
	return true
}

// interruptible calls receive with a context that Disconnect ends.
func (f *Faulty) interruptible(
	ctx context.Context, receive func(context.Context) ([]*driver.Delivery, error),
) ([]*driver.Delivery, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	if f.away {
		cancel() // it went away after the call began
	}
	f.receiving[&cancel] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.receiving, &cancel)
	}()
	ds, err := receive(inner)
	if err != nil && ctx.Err() == nil && inner.Err() != nil && errors.Is(err, context.Canceled) {
		return ds, fmt.Errorf("%w: the broker went away", ErrInjected)
	}
	return ds, err
}

func lacks(c Call) error {
	return fmt.Errorf("pubsubtest: the broker has no %s: %w", c, errors.ErrUnsupported)
}

// Redeliver implements driver.Redeliverer.
func (f *Faulty) Redeliver(
	ctx context.Context, topic, name string, ms []driver.Message, delay time.Duration,
) error {
	if err := f.begin(ctx, CallRedeliver); err != nil {
		return err
	}
	r, ok := f.b.(driver.Redeliverer)
	if !ok {
		return lacks(CallRedeliver)
	}
	return r.Redeliver(ctx, topic, name, ms, delay)
}

// Browse implements driver.Browser.
func (f *Faulty) Browse(ctx context.Context, topic, cursor string, n int) ([]*driver.Delivery, string, error) {
	if err := f.begin(ctx, CallBrowse); err != nil {
		return nil, cursor, err
	}
	b, ok := f.b.(driver.Browser)
	if !ok {
		return nil, cursor, lacks(CallBrowse)
	}
	return b.Browse(ctx, topic, cursor, n)
}

// Remove implements driver.Browser.
func (f *Faulty) Remove(ctx context.Context, topic string, ds []*driver.Delivery) error {
	if err := f.begin(ctx, CallRemove); err != nil {
		return err
	}
	b, ok := f.b.(driver.Browser)
	if !ok {
		return lacks(CallRemove)
	}
	return b.Remove(ctx, topic, ds)
}

// Seek implements driver.Seeker.
func (f *Faulty) Seek(ctx context.Context, topic, name string, to driver.Start) error {
	if err := f.begin(ctx, CallSeek); err != nil {
		return err
	}
	s, ok := f.b.(driver.Seeker)
	if !ok {
		return lacks(CallSeek)
	}
	return s.Seek(ctx, topic, name, to)
}
