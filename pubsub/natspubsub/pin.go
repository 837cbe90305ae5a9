package natspubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

const (
	// pinGroup is the priority group of an ordered consumer. It has one.
	pinGroup = "mainstay"
	pinID    = "Nats-Pin-Id"
)

// pinned makes c give its messages to one client at a time. The server takes another one when the first has asked for
// nothing for the TTL. By then the leases of one that died have ended, so that what it held goes before what follows.
func pinned(c *jetstream.ConsumerConfig, lease time.Duration) {
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{pinGroup}, 2*lease
}

// canPin says whether the server took the policy: one older than 2.11 passes over what it does not know.
func canPin(c jetstream.ConsumerConfig) error {
	if c.PriorityPolicy == jetstream.PriorityPolicyPinned {
		return nil
	}
	return permanentError{fmt.Errorf("%w: it takes a server of 2.11 or newer, which pins a consumer to one client",
		driver.ErrUnordered)}
}

// pin is the right of one process to receive from an ordered consumer, and what it has received under it.
type pin struct {
	s   *subscription
	ttl time.Duration

	mu    sync.Mutex
	id    string                      // "" while another process has it, or nobody
	held  map[*driver.Delivery]uint64 // by stream sequence
	ahead []*driver.Delivery          // received and not handed out, in order
	fresh bool                        // newly pinned: what another process held comes first
	empty bool                        // the last request brought nothing

	keeper sync.WaitGroup
}

func newPin(s *subscription) *pin {
	return &pin{s: s, ttl: 2 * s.o.Lease, held: make(map[*driver.Delivery]uint64), empty: true}
}

// shape makes a request one of the group's. The first of a group waits for a single message, because the server refuses
// those that do not wait as long as other processes' requests exceed what there is.
func (p *pin) shape(r *pull) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Group, r.ID = pinGroup, p.id
	// The server gives a message to a request of a process that is gone until it has expired, and the message's lease has
	// to end before the pin does.
	r.Expires = min(r.Expires, p.s.o.Lease/2)
	if p.id == "" || p.empty {
		r.Batch, r.NoWait = 1, false
	}
}

// ended notes whether a request brought anything.
func (p *pin) ended(empty bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = empty
}

// took notes what was received under which pin.
func (p *pin) took(d *driver.Delivery, id string, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = false
	if id != "" && id != p.id {
		p.id, p.fresh = id, true
	}
	p.held[d] = seq
}

// settled forgets what was acknowledged or released.
func (p *pin) settled(ds []*driver.Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range ds {
		delete(p.held, d)
	}
}

// lost lets go of all that was received: another process may receive now. The pin called id is the one that was lost.
func (p *pin) lost(id string) {
	p.mu.Lock()
	if id != p.id {
		p.mu.Unlock()
		return // a later one holds
	}
	p.id, p.empty, p.fresh = "", true, false
	ahead := p.takeAhead()
	ds := slices.Collect(maps.Keys(p.held))
	clear(p.held)
	p.mu.Unlock()
	p.answer(ahead, "-NAK")
	if len(ds) > 0 {
		p.s.o.Revoke(ds)
	}
}

// takeAhead returns what was not handed out, which is held no longer. Callers hold mu.
func (p *pin) takeAhead() []*driver.Delivery {
	ds := p.ahead
	for _, d := range ds {
		delete(p.held, d)
	}
	p.ahead = nil
	return ds
}

// answer tells the server about what was not handed out. Where that fails, the lease ends.
func (p *pin) answer(ds []*driver.Delivery, what string) {
	if len(ds) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(p.ttl/4, pingTimeout))
	defer cancel()
	_ = p.s.answer(ctx, ds, what)
}

func (p *pin) current() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// keep renews the pin while nothing is asked for, because all that may be in flight is, or while the subscription
// drains. It returns when the subscription is closed.
func (p *pin) keep() {
	t := time.NewTicker(p.ttl / 6)
	defer t.Stop()
	for {
		select {
		case <-p.s.closed:
			return
		case <-t.C:
			p.renew()
			p.mu.Lock()
			ahead := slices.Clone(p.ahead)
			p.mu.Unlock()
			p.answer(ahead, "+WPI")
		}
	}
}

// renew makes a request that no message fits: it shows the server that the client is there.
func (p *pin) renew() {
	id := p.current()
	if id == "" {
		return
	}
	body, err := json.Marshal(pull{Batch: 1, NoWait: true, MaxBytes: 1, Group: pinGroup, ID: id})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.ttl/4)
	defer cancel()
	m, err := p.s.b.nc.RequestWithContext(ctx, p.s.pullSubject(), body)
	if err == nil && status(m) == statusWrongPin {
		p.lost(id)
	}
}

// statusWrongPin is what the server answers to a client that is not the pinned one any more.
const statusWrongPin = "423"

// giveUp gives back what is held and lets another process take over at once.
func (p *pin) giveUp(ctx context.Context) error {
	p.keeper.Wait()
	p.mu.Lock()
	id, held := p.id, slices.Collect(maps.Keys(p.held))
	clear(p.held)
	p.ahead = nil
	p.mu.Unlock()
	// Or what follows them would go first, until their leases end.
	p.answer(held, "-NAK")
	if id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	for {
		err := p.unpin(ctx, id)
		// A cluster that is choosing a leader says so, and has one a moment later.
		if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.Code != 503 || ctx.Err() != nil {
			return err
		}
		if err := p.linger(); err != nil {
			return err
		}
	}
}

// unpin lets go of the pin called id, unless another process has it.
func (p *pin) unpin(ctx context.Context, id string) error {
	str, err := p.s.b.findStream(ctx, p.s.o.Topic)
	if err != nil {
		return err
	}
	name := durable(p.s.o.Topic, p.s.o.Name)
	c, err := str.Consumer(ctx, name)
	if err != nil {
		return err
	}
	for _, g := range c.CachedInfo().PriorityGroups {
		if g.PinnedClientID == id {
			if err := str.UnpinConsumer(ctx, name, pinGroup); err != nil {
				return err
			}
			return p.linger()
		}
	}
	return nil
}

// lingerTime is how long a process that has let go of the pin gives back what was on its way: less than whoever takes
// over waits for it. The leader of a replicated consumer sends a message once its peers know of it, by way of this
// process's own server.
const lingerTime = settleWait / 4

// linger gives back what comes to the inbox for that time.
func (p *pin) linger() error {
	end := time.NewTimer(lingerTime)
	defer end.Stop()
	for {
		select {
		case m := <-p.s.msgs:
			if status(m) != "" {
				continue
			}
			if err := p.s.b.nc.Publish(m.Reply, []byte("-NAK")); err != nil {
				return err
			}
		case <-end.C:
			return nil
		}
	}
}
