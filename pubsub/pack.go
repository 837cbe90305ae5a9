package pubsub

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// packer puts the messages of one call of Publish into their envelopes. What they have in common is made once.
type packer struct {
	c       *Client
	origin  origin
	when    string // origin.now as RFC 3339 has it
	sending *sending
	trace   traceCarrier      // of the message at hand: here, because a propagator may keep it for all one knows
	traced  bool              // the call is part of a trace
	room    driver.Attributes // for the messages to come
}

// together bounds how many messages share one piece of memory for their attributes, and one for their IDs, which live as
// long as the last of them.
const together = 64

func newPacker(ctx context.Context, c *Client, topic string, s *sending) *packer {
	p := &packer{c: c, origin: originOf(ctx, topic), sending: s, traced: trace.SpanContextFromContext(ctx).IsValid()}
	p.when = p.origin.now.Format(time.RFC3339Nano)
	return p
}

// pack checks ms and opens a span for each.
func (p *packer) pack(ctx context.Context, ms []*Message) ([]driver.Message, error) {
	batch := make([]driver.Message, len(ms))
	for i, m := range ms {
		if i%together == 0 {
			p.makeRoom(ms[i:min(i+together, len(ms))])
		}
		if err := p.message(ctx, m, &batch[i]); err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
	}
	return batch, nil
}

func (p *packer) makeRoom(ms []*Message) {
	n := 0
	for _, m := range ms {
		if m != nil {
			n += p.attributes(m)
		}
	}
	p.room = make(driver.Attributes, 0, n)
	if p.origin.ids = nil; len(ms) > 1 {
		p.origin.ids = newMint(len(ms))
	}
}

// attributes returns how many attributes m will have, as far as one can tell.
func (p *packer) attributes(m *Message) int {
	n := leastAttributes + len(m.Metadata)
	for _, set := range [...]bool{
		m.Key != "", m.Schema != "", m.ContentType != "", m.CausationID != "" || p.origin.causationID != "",
	} {
		if set {
			n++
		}
	}
	if !p.c.observer.untraced || p.traced || m.Trace != nil {
		n += len(p.c.traceFields)
	}
	return n
}

// message is Prepare under a span of m's own, into an envelope. A message that an outbox prepared belongs to the trace of
// the request that wrote it, not to the relay's and not to that of its neighbours.
func (p *packer) message(ctx context.Context, m *Message, into *driver.Message) error {
	if m == nil {
		return &InvalidError{"message", "is nil"}
	}
	if m.Trace != nil {
		ctx = p.c.propagator.Extract(ctx, carried(&m.Trace))
	}
	own := *m
	ctx, span := p.sending.start(ctx)
	p.origin.complete(&own)
	own.Source = cmp.Or(own.Source, p.c.source)
	if err := own.check(); err != nil {
		return err
	}
	describe(span, &own)
	when := p.when
	if own.Time != p.origin.now {
		when = own.Time.Format(time.RFC3339Nano)
	}
	as := encode(p.room[len(p.room):], &own, when)
	// Before the metadata: the first of a name counts.
	p.trace = traceCarrier(as[len(as):])
	p.c.propagator.Inject(ctx, &p.trace)
	as = append(as, p.trace...) // to where it is already, unless there was no room
	for k, v := range own.Metadata {
		if p.trace.Get(k) == "" {
			as = append(as, driver.Attribute{Name: k, Value: v})
		}
	}
	if free := cap(p.room) - len(p.room); len(as) <= free {
		p.room = p.room[:len(p.room)+len(as)]
	}
	*into = driver.Message{ID: own.ID, Key: own.Key, Attributes: as[:len(as):len(as)], Data: own.Data}
	return nil
}
