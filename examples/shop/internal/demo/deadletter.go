package demo

import (
	"context"
	"sync"

	"github.com/mainstay-go/mainstay/pubsub"
)

// deadLetters collects the keys of the messages that reach a dead-letter topic: the IDs of their orders.
type deadLetters struct {
	mu   sync.Mutex
	keys map[string]int // how often each
}

// handle is the handler of the subscription to the dead-letter topic.
func (d *deadLetters) handle(_ context.Context, m *pubsub.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil {
		d.keys = map[string]int{}
	}
	d.keys[m.Key]++
	return nil
}

// compare returns how many of the expected orders are there, and how many others.
func (d *deadLetters) compare(expected map[string]bool) (exact, other int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.keys {
		if expected[key] {
			exact++
		} else {
			other++
		}
	}
	return exact, other
}
