package natspubsub

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// settleWait is how long a process that takes over waits for the next message that the one before it held. One that is
// released with a delay does not come in that time, and is not waited for.
const settleWait = 250 * time.Millisecond

// receive is Receive for an ordered subscription. What another process held, and the server gives out again in any
// order, is received as a whole when this one takes over, and handed out by its place in the stream.
func (p *pin) receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	if ds := p.next(n); len(ds) > 0 {
		return ds, nil
	}
	ds, err := p.s.receive(ctx, n)
	if !p.takesOver() || len(ds) == 0 {
		return ds, err
	}
	all := p.gather(ctx, ds)
	p.mu.Lock()
	// What was lost meanwhile is in other hands.
	all = slices.DeleteFunc(all, func(d *driver.Delivery) bool { return p.held[d] == 0 })
	slices.SortFunc(all, func(a, b *driver.Delivery) int { return cmp.Compare(p.held[a], p.held[b]) })
	p.ahead = all
	p.mu.Unlock()
	if ds = p.next(n); len(ds) > 0 {
		return ds, nil
	}
	return p.receive(ctx, n)
}

// next hands out what was received ahead.
func (p *pin) next(n int) []*driver.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(n, len(p.ahead))
	ds := p.ahead[:n:n]
	p.ahead = p.ahead[n:]
	return ds
}

// takesOver reports, once for each pin, that it is new.
func (p *pin) takesOver() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.fresh
	p.fresh = false
	return fresh
}

// gather receives what else is unacknowledged, beyond ds, until a message comes that nobody had before, or none does.
func (p *pin) gather(ctx context.Context, ds []*driver.Delivery) []*driver.Delivery {
	c, err := p.s.consumer(ctx)
	if err != nil {
		return ds
	}
	for unacked := c.CachedInfo().NumAckPending; len(ds) < unacked; {
		waiting, cancel := context.WithTimeout(ctx, settleWait)
		more, err := p.s.receive(waiting, min(unacked-len(ds), p.s.o.MaxInFlight))
		cancel()
		ds = append(ds, more...)
		if err != nil || len(more) == 0 || more[len(more)-1].Attempt == 1 {
			return ds
		}
	}
	return ds
}

// consumer asks the server for the subscription's consumer as it is now.
func (s *subscription) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return s.b.js.Consumer(ctx, s.stream.name, durable(s.o.Topic, s.o.Name))
}
