package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Publish stores ms in topic, those of one key in one partition and in order. It implements driver.Broker. A message
// that is too large is left out; the others are stored. When ctx ends first, what is on its way may still be stored.
func (b *Broker) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	t, err := b.ensureTopic(ctx, topic)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("kafkapubsub: %w", err)
	}
	p := &publication{errs: make([]error, len(ms)), left: len(ms), done: make(chan struct{})}
	for i, m := range ms {
		r := record(topic, m)
		if err := t.tooLarge(r); err != nil {
			p.settle(i, err)
			continue
		}
		p.sent = true
		b.client.Produce(ctx, r, func(_ *kgo.Record, err error) { p.settle(i, err) })
	}
	if len(ms) > 0 {
		select {
		case <-p.done:
		case <-ctx.Done():
		}
	}
	err = p.result(ctx.Err())
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.MessageTooLarge) {
		b.forgetTopic(topic) // deleted, perhaps, or its limit was changed: the next call looks
	}
	return err
}

// publication is one call of Publish.
type publication struct {
	sent bool // something may have been stored

	mu   sync.Mutex
	errs []error // by index
	ok   int     // settled without an error
	left int     // not settled
	done chan struct{}
	over bool // nobody reads errs any more
}

// settle is called once for each message. An error of one that is not the last may arrive after result.
func (p *publication) settle(i int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	if err == nil {
		err = errStored
		p.ok++
	}
	p.errs[i] = err
	p.left--
	if p.left == 0 {
		close(p.done)
	}
}

// errStored stands for success, where nil is "not known".
var errStored = errors.New("kafkapubsub: stored")

// result sums up: nil, the reason why nothing was stored, or which messages may not have been. ended is why nobody
// waits any longer.
func (p *publication) result(ended error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.ok == len(p.errs) {
		return nil
	}
	e := &driver.PublishError{}
	for i, err := range p.errs {
		if err == errStored { //nolint:errorlint // a mark, never wrapped
			continue
		}
		e.Indexes = append(e.Indexes, i)
		if err == nil {
			err = ended
		}
		// A failure that another try may mend comes before one that it will not.
		if e.Err == nil || errors.As(e.Err, new(*driver.TooLargeError)) {
			e.Err = err
		}
	}
	if !p.sent {
		return fmt.Errorf("kafkapubsub: %w", e.Err)
	}
	return e
}
