package sqspubsub

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

const (
	// browseHold is how long a letter that was shown stays hidden, unless it is given back before: longer than Redrive
	// takes for a page, and what a walk that is left in the middle costs others.
	browseHold = time.Minute
	// browseWait is how long the request waits that finds nothing more. One that does not wait asks some of the
	// service's machines alone, and may miss what is there.
	browseWait = time.Second
	// maxWalks bounds the walks through one topic at a time.
	maxWalks = 16
)

// browsing is what walks through a topic have shown. The broker's mutex guards it.
type browsing struct {
	held  map[string]string // receipt handles by message ID, the latest of each
	walks []*walk           // the least recently used first
	last  int               // number of the newest walk
}

// walk is one from the empty cursor to the end.
type walk struct {
	number int
	pages  int
	seen   map[string]bool // message IDs
}

// Browse shows what the queue of a dead-letter topic keeps, about the oldest first, by receiving it: each letter's
// receive count goes up by one, and it is hidden from other processes for a minute, or until the walk has come to its
// end, or another begins. What another process has in its hands is not shown. The queue must have no redrive policy,
// which would take away what is looked at too often. A topic without a queue is empty. It implements driver.Browser.
func (b *Broker) Browse(ctx context.Context, topic, cursor string, n int) ([]*driver.Delivery, string, error) {
	if b.err != nil {
		return nil, cursor, b.err
	}
	q, ok, err := b.graveOf(ctx, topic)
	if err != nil || !ok {
		return nil, cursor, err
	}
	if cursor == "" {
		if err := b.giveBack(ctx, q, topic); err != nil {
			return nil, cursor, err
		}
	}
	w, err := b.walkAt(topic, cursor)
	if err != nil {
		return nil, cursor, err
	}
	ds, err := b.page(ctx, q, topic, w, n)
	if err != nil {
		return nil, cursor, err
	}
	if len(ds) == 0 {
		b.endWalk(topic, w)
		// What this does not give back comes back by itself.
		_ = b.giveBack(ctx, q, topic)
	}
	return ds, w.cursor(), nil
}

// Remove deletes ds from the queue of a dead-letter topic. A letter that another process has received since is left
// there: SQS says nothing of it. It implements driver.Browser.
func (b *Broker) Remove(ctx context.Context, topic string, ds []*driver.Delivery) error {
	q, ok, err := b.graveOf(ctx, topic)
	if err != nil || !ok {
		return err
	}
	receipts := make([]string, len(ds))
	b.mu.Lock()
	for i, d := range ds {
		own, ok := d.Handle.(string)
		if !ok {
			b.mu.Unlock()
			return permanentError{fmt.Errorf("sqspubsub: remove %q: %s was not browsed", topic, d.Position)}
		}
		receipts[i] = cmp.Or(b.browsingOf(topic).held[d.Position], own)
	}
	b.mu.Unlock()
	if err := b.deleteAll(ctx, q, receipts); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range ds {
		delete(b.browsingOf(topic).held, d.Position)
	}
	return nil
}

// graveOf finds the queue that keeps what is published to a dead-letter topic; false for none.
func (b *Broker) graveOf(ctx context.Context, topic string) (queue, bool, error) {
	name, err := serviceName("queue", topic, false, maxQueueName)
	if err != nil {
		return queue{}, false, err
	}
	q, has, err := b.findQueue(ctx, name, false)
	if isMissing(err) {
		return q, false, nil
	}
	if err != nil {
		return q, false, err
	}
	return q, true, checkRedrive(q, has, "")
}

// browsingOf returns what is known of the walks through topic; b.mu is held.
func (b *Broker) browsingOf(topic string) *browsing {
	s := b.browsings[topic]
	if s == nil {
		s = &browsing{held: make(map[string]string)}
		b.browsings[topic] = s
	}
	return s
}

// walkAt returns the walk that a cursor belongs to, and a new one for the empty cursor.
func (b *Broker) walkAt(topic, cursor string) (*walk, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.browsingOf(topic)
	if cursor == "" {
		s.last++
		w := &walk{number: s.last, seen: make(map[string]bool)}
		if s.walks = append(s.walks, w); len(s.walks) > maxWalks {
			s.walks = slices.Delete(s.walks, 0, 1)
		}
		return w, nil
	}
	for i, w := range s.walks {
		if w.cursor() == cursor {
			s.walks = append(slices.Delete(s.walks, i, i+1), w)
			return w, nil
		}
	}
	return nil, permanentError{fmt.Errorf("sqspubsub: browse %q: cursor %q is none of this process, or too old", topic, cursor)}
}

func (w *walk) cursor() string { return strconv.Itoa(w.number) + "/" + strconv.Itoa(w.pages) }

func (b *Broker) endWalk(topic string, w *walk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.browsingOf(topic)
	s.walks = slices.DeleteFunc(s.walks, func(other *walk) bool { return other == w })
}

// page receives until it has n letters that w has not shown, or there are none.
func (b *Broker) page(ctx context.Context, q queue, topic string, w *walk, n int) ([]*driver.Delivery, error) {
	var ds []*driver.Delivery
	for vain := 0; len(ds) < n; {
		wait := browseWait
		if len(ds) > 0 {
			wait = 0 // a page may be short
		}
		ms, err := b.receive(ctx, q, min(n-len(ds), maxBatch), browseHold, wait)
		if err != nil {
			if len(ds) > 0 {
				break // they are shown, and the next page meets the error
			}
			return nil, fmt.Errorf("sqspubsub: browse %q: %w", topic, err)
		}
		fresh := b.show(topic, w, ms)
		ds = append(ds, fresh...)
		if vain++; len(fresh) > 0 {
			vain = 0
		}
		// A long walk meets what it has shown already: that is visible again. All of it fits in so many requests.
		if len(ms) == 0 || vain > len(w.seen)/maxBatch+1 {
			break
		}
	}
	slices.SortStableFunc(ds, func(x, y *driver.Delivery) int { return x.Published.Compare(y.Published) })
	w.pages++
	return ds, nil
}

// show notes what was received, and returns what w has not shown yet.
func (b *Broker) show(topic string, w *walk, ms []types.Message) []*driver.Delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.browsingOf(topic).held
	var fresh []*driver.Delivery
	for _, m := range ms {
		d := delivery(m)
		held[d.Position], _ = d.Handle.(string)
		if !w.seen[d.Position] {
			w.seen[d.Position] = true
			fresh = append(fresh, d)
		}
	}
	return fresh
}

// giveBack makes visible what walks through topic hold.
func (b *Broker) giveBack(ctx context.Context, q queue, topic string) error {
	b.mu.Lock()
	s := b.browsingOf(topic)
	receipts := make([]string, 0, len(s.held))
	for _, r := range s.held {
		receipts = append(receipts, r)
	}
	clear(s.held)
	b.mu.Unlock()
	return b.hideAll(ctx, q, "release", receipts, 0)
}
