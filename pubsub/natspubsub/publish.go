package natspubsub

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// window bounds how many messages of a call are on their way unconfirmed. When one fails, those that were not sent by
// then are not, so that a batch breaks off near the failure, not behind it.
const window = 256

// Publish stores ms in the stream that holds topic. It implements driver.Broker. A message that is too large is left
// out; the others are stored.
func (b *Broker) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	s, err := b.ensureStream(ctx, topic)
	if err != nil {
		return err
	}
	return b.publish(ctx, &publication{Broker: b, topic: topic, subject: topic}, s, ms)
}

func (b *Broker) publish(ctx context.Context, p *publication, s stream, ms []driver.Message) error {
	if s.noAck {
		b.forgetStream(p.topic) // somebody may change it
		return fmt.Errorf("natspubsub: %w", permanentError{
			fmt.Errorf("stream %q of %q has NoAck set: nobody confirms what it stores", s.name, p.topic),
		})
	}
	p.ms, p.limit = ms, int(p.nc.MaxPayload())
	if s.limit > 0 {
		p.limit = min(p.limit, s.limit)
	}
	if len(ms) == 1 {
		p.one(ctx)
	} else {
		p.many(ctx)
	}
	return p.result()
}

// publication is one call of Publish or Redeliver.
type publication struct {
	*Broker
	topic   string
	subject string // the topic, or where its redeliveries go
	ms      []driver.Message
	limit   int           // of one message, in bytes; below 1 for none
	failed  map[int]error // by index
	broken  error         // why no more are sent
	sent    bool          // something may have been stored

	inbox   *inbox
	first   int            // what the inbox calls the message of index 0
	states  []state        // by index
	pending int            // how many are sent and neither confirmed nor failed
	before  map[string]int // the last one that was sent, by key
	msg     nats.Msg       // the one that is being sent
	header  header         // its
}

// state is what became of a message.
type state byte

const (
	unsent state = iota
	sent
	over // confirmed or failed
)

// one publishes a single message, and lets the client try again where no stream answers: there is no order to lose.
func (p *publication) one(ctx context.Context) {
	if err := p.fill(0); err != nil {
		p.leaveOut(0, err)
		return
	}
	p.sent = true
	if _, err := p.js.PublishMsg(ctx, &p.msg); err != nil {
		p.fail(0, err)
	}
}

// many publishes messages, a window of them ahead of their confirmations.
func (p *publication) many(ctx context.Context) {
	var err error
	if p.inbox, err = p.inboxes.take(p.nc); err != nil {
		p.broken = err
	} else {
		defer func() { p.inboxes.put(p.inbox, p.pending == 0 && p.broken == nil) }()
		p.first = p.inbox.number(len(p.ms))
	}
	// The client does not say which messages went with the connection, nor that nobody will confirm them.
	lost := p.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer p.nc.RemoveStatusListener(lost)
	p.states = make([]state, len(p.ms))
	for i := range p.ms {
		p.admit(ctx, lost, i)
		if p.broken != nil {
			p.fail(i, p.broken)
			continue
		}
		p.send(i)
	}
	for p.pending > 0 {
		p.settle(ctx, lost)
	}
}

// admit waits until message i may be sent. A message waits for the confirmation of the one before it of its key: a
// connection that breaks may lose the first and, once it is back, bring the second out of its buffer; so may a stream
// whose leader changes, or that refuses the first.
func (p *publication) admit(ctx context.Context, lost <-chan nats.Status, i int) {
	for p.broken == nil && len(p.inbox.confirmations) > 0 {
		p.settle(ctx, lost) // what is there, so that a failure is known early
	}
	for p.broken == nil && p.pending == window {
		p.settle(ctx, lost)
	}
	if before, ok := p.before[p.ms[i].Key]; ok {
		for p.broken == nil && p.states[before] == sent {
			p.settle(ctx, lost)
		}
	}
	if p.broken == nil {
		p.broken = ctx.Err()
	}
}

// send hands message i to the connection. One that is too large is left out.
func (p *publication) send(i int) {
	if err := p.fill(i); err != nil {
		p.leaveOut(i, err)
		return
	}
	p.msg.Reply = p.inbox.reply(p.first + i)
	if err := p.nc.PublishMsg(&p.msg); err != nil {
		p.fail(i, err)
		return
	}
	p.sent, p.states[i] = true, sent
	p.pending++
	if key := p.ms[i].Key; key != "" {
		if p.before == nil {
			p.before = make(map[string]int)
		}
		p.before[key] = i
	}
}

// settle waits for a confirmation. None comes any more when the connection is lost, and none counts once ctx has ended.
func (p *publication) settle(ctx context.Context, lost <-chan nats.Status) {
	select {
	case m := <-p.inbox.confirmations:
		p.confirm(m)
	case <-lost:
		p.giveUp(nats.ErrDisconnected)
	case <-ctx.Done():
		p.giveUp(ctx.Err())
	}
}

// confirm notes an answer to one of the messages. What is left of an earlier call has another number.
func (p *publication) confirm(m *nats.Msg) {
	i := p.inbox.index(m) - p.first
	if i < 0 || i >= len(p.states) || p.states[i] != sent {
		return
	}
	p.states[i] = over
	p.pending--
	if err := stored(m); err != nil {
		p.fail(i, err)
	}
}

// giveUp fails what is not confirmed by now.
func (p *publication) giveUp(err error) {
	for len(p.inbox.confirmations) > 0 {
		p.confirm(<-p.inbox.confirmations)
	}
	for i, s := range p.states {
		if s == sent {
			p.states[i] = over
			p.fail(i, err)
		}
	}
	p.pending = 0
	if p.broken == nil {
		p.broken = err
	}
}

// fill makes p.msg that of message i, over the one before. It returns a *driver.TooLargeError where server or stream
// would not take it.
func (p *publication) fill(i int) error {
	m, id := &p.ms[i], ""
	// What is redelivered was stored before under its ID, and is not dropped for that.
	if m.ID != "" && p.subject == p.topic {
		// With the topic, because a stream may hold several, and a message may be in more than one of them.
		id = p.topic + "/" + escape(m.ID)
	}
	p.msg.Subject, p.msg.Header, p.msg.Data = p.subject, p.header.encode(m.Attributes, id), m.Data
	if n := size(&p.msg); p.limit > 0 && n > p.limit {
		return &driver.TooLargeError{Bytes: n, Limit: p.limit}
	}
	return nil
}

// size is what counts towards the limits: payload and header block as they are sent.
func size(m *nats.Msg) int {
	n := len("NATS/1.0\r\n") + len("\r\n") + len(m.Data)
	for k, vs := range m.Header {
		for _, v := range vs {
			n += len(k) + len(": ") + len(v) + len("\r\n")
		}
	}
	return n
}

// leaveOut notes why message i is not sent. The others are.
func (p *publication) leaveOut(i int, err error) {
	if p.failed == nil {
		p.failed = make(map[int]error)
	}
	p.failed[i] = err
}

// fail notes why message i may not be stored. None after it is sent.
func (p *publication) fail(i int, err error) {
	// Deleted, perhaps, or its limit was changed. The next call looks, and creates it again.
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum) {
		p.forgetStream(p.topic)
	}
	p.leaveOut(i, err)
	if p.broken == nil {
		p.broken = err
	}
}

// result sums up: nil, the reason why nothing was stored, or which messages may not have been.
func (p *publication) result() error {
	if len(p.failed) == 0 {
		return nil
	}
	e := &driver.PublishError{Err: p.broken}
	for i := range p.ms {
		if err, ok := p.failed[i]; ok {
			e.Indexes = append(e.Indexes, i)
			// A failure that another try may mend comes before one that it will not.
			if e.Err == nil {
				e.Err = err
			}
		}
	}
	if !p.sent || len(p.ms) == 1 && errors.Is(e.Err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("natspubsub: %w", e.Err)
	}
	return e
}
