package natspubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// chunk bounds how many messages are on their way unconfirmed. When one fails, those of later chunks are not sent, so
// that a batch breaks off near the failure, not behind it.
const chunk = 256

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
	p.failed = make(map[int]error)
	fitting := p.fitting(ms, s)
	if len(fitting) == 1 {
		p.one(ctx, fitting[0])
		return p.result(len(ms))
	}
	for part := range slices.Chunk(fitting, chunk) {
		if p.broken == nil {
			p.many(ctx, part)
			continue
		}
		for _, o := range part {
			p.failed[o.index] = p.broken
		}
	}
	return p.result(len(ms))
}

// publication is one call of Publish or Redeliver.
type publication struct {
	*Broker
	topic   string
	subject string        // the topic, or where its redeliveries go
	failed  map[int]error // by index
	broken  error         // why no more chunks are sent
	sent    bool          // something may have been stored
}

// outgoing is one message on its way.
type outgoing struct {
	index int
	key   string
	msg   *nats.Msg
	ack   jetstream.PubAckFuture
}

// fitting returns the messages that server and stream will take, and notes the others.
func (p *publication) fitting(ms []driver.Message, s stream) []*outgoing {
	limit := int(p.nc.MaxPayload())
	if s.limit > 0 {
		limit = min(limit, s.limit)
	}
	fits := make([]*outgoing, 0, len(ms))
	for i, m := range ms {
		msg := &nats.Msg{Subject: p.subject, Header: encodeHeader(m), Data: m.Data}
		// What is redelivered was stored before under its ID, and is not dropped for that.
		if m.ID != "" && p.subject == p.topic {
			// With the topic, because a stream may hold several, and a message may be in more than one of them.
			msg.Header[jetstream.MsgIDHeader] = []string{p.topic + "/" + escape(m.ID)}
		}
		if n := size(msg); limit > 0 && n > limit {
			p.failed[i] = &driver.TooLargeError{Bytes: n, Limit: limit}
			continue
		}
		fits = append(fits, &outgoing{index: i, key: m.Key, msg: msg})
	}
	return fits
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

// one publishes a single message, and lets the client try again where no stream answers: there is no order to lose.
func (p *publication) one(ctx context.Context, o *outgoing) {
	p.sent = true
	if _, err := p.js.PublishMsg(ctx, o.msg); err != nil {
		p.fail(o, err)
	}
}

// many publishes messages in one go and waits for their acknowledgements. A message waits for that of the one before it
// of its key: a connection that breaks may lose the first and, once it is back, bring the second out of its buffer.
func (p *publication) many(ctx context.Context, part []*outgoing) {
	var before map[string]*outgoing // by key
	for _, o := range part {
		if b := before[o.key]; b != nil {
			p.await(ctx, b)
		}
		var err error
		if p.broken == nil {
			// Without the client's own retries, which would put a message behind its successors.
			o.ack, err = p.js.PublishMsgAsync(o.msg, jetstream.WithRetryAttempts(0))
		}
		if p.broken != nil || err != nil {
			p.fail(o, errors.Join(err, p.broken))
			continue
		}
		p.sent = true
		if o.key != "" {
			if before == nil {
				before = make(map[string]*outgoing)
			}
			before[o.key] = o
		}
	}
	for _, o := range part {
		p.await(ctx, o)
	}
}

// await waits for the acknowledgement of a message that was sent, once.
func (p *publication) await(ctx context.Context, o *outgoing) {
	if o.ack == nil {
		return
	}
	select {
	case <-o.ack.Ok():
	case err := <-o.ack.Err():
		p.fail(o, err)
	case <-ctx.Done():
		p.fail(o, ctx.Err())
	}
	o.ack = nil
}

func (p *publication) fail(o *outgoing, err error) {
	// Deleted, perhaps, or its limit was changed. The next call looks, and creates it again.
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum) {
		p.forgetStream(p.topic)
	}
	p.failed[o.index] = err
	if p.broken == nil {
		p.broken = err
	}
}

// result sums up: nil, the reason why nothing was stored, or which messages may not have been.
func (p *publication) result(n int) error {
	if len(p.failed) == 0 {
		return nil
	}
	e := &driver.PublishError{Err: p.broken}
	for i := range n {
		if err, ok := p.failed[i]; ok {
			e.Indexes = append(e.Indexes, i)
			// A failure that another try may mend comes before one that it will not.
			if e.Err == nil {
				e.Err = err
			}
		}
	}
	if !p.sent || n == 1 && errors.Is(e.Err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("natspubsub: %w", e.Err)
	}
	return e
}
