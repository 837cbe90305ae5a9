package sqspubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/smithy-go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// maxBatch is how many messages a request may carry, of either service.
const maxBatch = 10

// Publish stores ms in topic's SNS topic, for every queue that is subscribed to it, by several requests at a time
// ([Options.Requests]); those with messages of one key wait for one another. It implements driver.Broker. What is too
// large is left out; once something else fails, no other request begins.
func (b *Broker) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	t, err := b.ensureTopic(ctx, topic)
	if err != nil {
		return err
	}
	return b.publish(ctx, ms, t.limit, t.fifo, func(ctx context.Context, part []*outgoing) (map[int]refusal, error) {
		refused, err := b.toTopic(ctx, t, part)
		if coded(err, "NotFound") {
			b.forgetTopic(topic) // somebody deleted it: the next call creates it
		}
		return refused, err
	})
}

// Redeliver stores ms in the queue of one subscription. A standard queue keeps a delay of up to 15 minutes by itself, a
// FIFO queue none. It implements driver.Redeliverer.
func (b *Broker) Redeliver(
	ctx context.Context, topic, name string, ms []driver.Message, delay time.Duration,
) error {
	if b.err != nil {
		return b.err
	}
	fifo := b.fifo(topic)
	plain, err := serviceName("queue", topic+"@"+name, fifo, maxQueueName)
	if err != nil {
		return err
	}
	q, _, err := b.findQueue(ctx, plain, fifo)
	if isMissing(err) {
		return permanentError{err}
	}
	if err != nil {
		return err
	}
	return b.publish(ctx, ms, q.limit, fifo, func(ctx context.Context, part []*outgoing) (map[int]refusal, error) {
		return b.toQueue(ctx, q, part, delay)
	})
}

// refusal is why a service did not take one message of a batch.
type refusal struct {
	err    error
	sender bool // the message is to blame
}

// send sends one batch and returns what was refused of it, by position, or why all of it was.
type send func(ctx context.Context, part []*outgoing) (map[int]refusal, error)

// publishing is what has become of a call's messages.
type publishing struct {
	do send

	mu     sync.Mutex
	failed map[int]error // by position
	broken error         // the first that ends the call
	stored bool          // something is, or may be
}

func (b *Broker) publish(ctx context.Context, ms []driver.Message, limit int, fifo bool, do send) error {
	p := &publishing{do: do, failed: make(map[int]error)}
	var fitting []*outgoing
	for i, m := range ms {
		if o := encode(i, m); o.bytes > limit {
			p.failed[i] = &driver.TooLargeError{Bytes: o.bytes, Limit: limit}
		} else {
			fitting = append(fitting, o)
		}
	}
	parts := batches(fitting, limit, fifo)
	if len(parts) == 1 {
		p.send(ctx, parts[0])
		return p.result(len(ms))
	}
	before, sent := predecessors(parts), make([]chan struct{}, len(parts))
	for i := range sent {
		sent[i] = make(chan struct{})
	}
	inParallel(len(parts), b.o.Requests, func(i int) {
		defer close(sent[i])
		for _, j := range before[i] {
			<-sent[j] // has begun already: parts begin in order
		}
		p.send(ctx, parts[i])
	})
	return p.result(len(ms))
}

// send sends a batch, and what the service refused through no fault of the message once more. Once something has failed
// it sends nothing.
func (p *publishing) send(ctx context.Context, part []*outgoing) {
	for try := range 2 {
		if err := p.over(); err != nil {
			p.fail(part, err)
			return
		}
		refused, err := p.do(ctx, part)
		if part = p.note(part, refused, err, try > 0); len(part) == 0 {
			return
		}
	}
}

// over returns why nothing is sent any more.
func (p *publishing) over() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

func (p *publishing) fail(part []*outgoing, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range part {
		p.failed[o.index] = err
	}
}

// note enters what came of a request, and returns what to send again.
func (p *publishing) note(part []*outgoing, refused map[int]refusal, err error, last bool) (again []*outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		for _, o := range part {
			p.failed[o.index] = err
		}
		p.stored = p.stored || !refusedWhole(err)
		p.broken = cmp.Or(p.broken, err)
		return nil
	}
	p.stored = p.stored || len(refused) < len(part)
	for i, o := range part {
		switch r, no := refused[i]; {
		case no && !r.sender && !last:
			again = append(again, o)
		case no:
			p.failed[o.index] = r.err
			p.broken = cmp.Or(p.broken, r.err)
		}
	}
	return again
}

// refusedWhole reports whether err is an answer that nothing of a request was stored.
func refusedWhole(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && e.ErrorFault() == smithy.FaultClient
}

// result is what to say of n messages.
func (p *publishing) result(n int) error {
	if len(p.failed) == 0 {
		return nil
	}
	e := &driver.PublishError{Err: p.broken} // what another try may mend comes before what it will not
	for i := range n {
		if err, ok := p.failed[i]; ok {
			e.Indexes = append(e.Indexes, i)
			e.Err = cmp.Or(e.Err, err)
		}
	}
	if !p.stored {
		return fmt.Errorf("sqspubsub: %w", e.Err)
	}
	return e
}
