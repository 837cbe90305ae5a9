package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	p := &publication{outcomes: make([]outcome, 0, len(ms)), want: len(ms), done: make(chan struct{})}
	b.send(ctx, p, topic, t, ms)
	if len(ms) > 0 {
		select {
		case <-p.done:
		case <-ctx.Done():
		}
	}
	err = p.result(ctx.Err())
	if err == nil {
		b.keep(p.pages)
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicID):
		// Deleted. The client would go on sending to the topic that is gone, though another one has its name now.
		if b.forgetTopic(topic) {
			b.client.PurgeTopicsFromProducing(topic)
		}
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.MessageTooLarge):
		b.forgetTopic(topic) // deleted, perhaps, or its limit was changed: the next call looks
	}
	return err
}

// publication is one call of Publish.
type publication struct {
	pages []*page // of the records, by index
	sent  bool    // something may have been stored

	mu       sync.Mutex
	outcomes []outcome // as they came
	ok       int       // of them, without an error
	want     int       // how many there will be
	done     chan struct{}
	over     bool // nobody reads outcomes any more
}

// outcome is what became of one record.
type outcome struct {
	record *kgo.Record
	err    error
}

// pageRecords is how many messages are copied ahead of the client, so that it can begin with them.
const pageRecords = 256

// send hands ms to the client, without those that are too large.
func (b *Broker) send(ctx context.Context, p *publication, topic string, t topic, ms []driver.Message) {
	var ns names
	settle := p.settle // once: each use of a method as a value is an allocation
	for chunk := range slices.Chunk(ms, pageRecords) {
		g, _ := b.pages.Get().(*page)
		if g == nil {
			g = new(page)
		}
		g.write(topic, chunk, &ns)
		p.pages = append(p.pages, g)
		for i := range g.records {
			r := &g.records[i]
			if err := t.tooLarge(r); err != nil {
				p.settle(r, err)
				continue
			}
			p.sent = true
			b.client.Produce(ctx, r, settle)
		}
	}
}

// keep leaves pages to the next call, once all of their records are stored: the client has let go of them.
func (b *Broker) keep(pages []*page) {
	for _, g := range pages {
		if cap(g.bytes) <= maxPageBytes {
			clear(g.records) // they refer to their callers' contexts
			b.pages.Put(g)
		}
	}
}

// settle is called once for each message. An error of one that is not the last may arrive after result.
func (p *publication) settle(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	if err == nil {
		p.ok++
	}
	p.outcomes = append(p.outcomes, outcome{r, err})
	if len(p.outcomes) == p.want {
		close(p.done)
	}
}

// result sums up: nil, the reason why nothing was stored, or which messages may not have been. ended is why nobody
// waits any longer.
func (p *publication) result(ended error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.ok == p.want {
		return nil
	}
	errs := make(map[*kgo.Record]error, len(p.outcomes))
	for _, o := range p.outcomes {
		errs[o.record] = o.err
	}
	e := &driver.PublishError{}
	index := -1
	for _, g := range p.pages {
		for i := range g.records {
			index++
			err, settled := errs[&g.records[i]]
			switch {
			case !settled:
				err = ended
			case err == nil:
				continue
			}
			e.Indexes = append(e.Indexes, index)
			// A failure that another try may mend comes before one that it will not.
			if e.Err == nil || errors.As(e.Err, new(*driver.TooLargeError)) {
				e.Err = err
			}
		}
	}
	if !p.sent {
		return fmt.Errorf("kafkapubsub: %w", e.Err)
	}
	return e
}
