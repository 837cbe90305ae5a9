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
const settleWait = 500 * time.Millisecond

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
	p.arrange(p.gather(ctx, ds))
	if ds = p.next(n); len(ds) > 0 {
		return ds, nil
	}
	return p.receive(ctx, n)
}

// arrange puts ds in order, to be handed out next. What this process lost again meanwhile is given back: nobody else
// knows of it, and what follows it would go first until its lease ends.
func (p *pin) arrange(ds []*driver.Delivery) {
	p.mu.Lock()
	var lost []*driver.Delivery
	here := make(map[string]bool, len(ds)) // positions
	for _, d := range ds {
		if p.held[d] == 0 {
			lost = append(lost, d)
			continue
		}
		here[d.Position] = true
		p.ahead = append(p.ahead, d)
	}
	slices.SortFunc(p.ahead, func(a, b *driver.Delivery) int { return cmp.Compare(p.held[a], p.held[b]) })
	p.mu.Unlock()
	p.answer(slices.DeleteFunc(lost, func(d *driver.Delivery) bool { return here[d.Position] }), "-NAK")
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

// gather receives, beyond ds, what others hold unacknowledged, as far as it comes before settleWait has passed without
// any of it. What nobody had before may come in between, and is received as well: the server redelivers what was given
// back, or whose lease has ended, a moment after it knows of it.
func (p *pin) gather(ctx context.Context, ds []*driver.Delivery) []*driver.Delivery {
	c, err := p.s.consumer(ctx)
	if err != nil {
		return ds
	}
	missing := c.CachedInfo().NumAckPending - len(ds)
	for late := time.Now().Add(settleWait); missing > 0 && len(ds) < p.s.o.MaxInFlight; {
		waiting, cancel := context.WithDeadline(ctx, late)
		more, err := p.s.receive(waiting, min(missing, p.s.o.MaxInFlight-len(ds)))
		cancel()
		ds = append(ds, more...)
		if err != nil {
			return ds
		}
		for _, d := range more {
			if d.Attempt > 1 {
				missing--
				late = time.Now().Add(settleWait)
			}
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
