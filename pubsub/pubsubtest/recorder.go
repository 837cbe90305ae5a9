package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mainstay-go/mainstay/pubsub"
)

// Recorder is a pubsub.Publisher for unit tests of code that publishes: it records what a broker would have stored, and
// fails when it is told to. The zero value is ready. It is safe for concurrent use, and must not be copied.
type Recorder struct {
	mu     sync.Mutex
	topics map[string][]*pubsub.Message
	calls  int
	fail   func(call int, topic string, ms []*pubsub.Message) error
}

// Publish records ms, with what pubsub.Client would have filled in (see pubsub.Prepare), and refuses what it would have
// refused: an error matches *pubsub.InvalidError then, and nothing is recorded. It implements pubsub.Publisher.
func (r *Recorder) Publish(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("pubsubtest: publish %q: %w", topic, err)
	}
	prepared := make([]*pubsub.Message, len(ms))
	for i, m := range ms {
		p, err := pubsub.Prepare(ctx, topic, m, nil)
		if err != nil {
			return fmt.Errorf("pubsubtest: publish %q: message %d: %w", topic, i, err)
		}
		p.Data = append([]byte(nil), p.Data...) // the caller's again
		prepared[i] = p
	}
	r.mu.Lock()
	r.calls++
	call, fail := r.calls, r.fail
	r.mu.Unlock()
	var err error
	if fail != nil {
		err = fail(call, topic, prepared)
	}
	r.record(topic, prepared, err)
	if err != nil {
		return fmt.Errorf("pubsubtest: publish %q: %w", topic, err)
	}
	return nil
}

// record keeps what a broker would have stored beside err.
func (r *Recorder) record(topic string, ms []*pubsub.Message, err error) {
	lost := map[int]bool{}
	if err != nil {
		var partly *pubsub.PublishError
		if !errors.As(err, &partly) {
			return
		}
		for _, i := range partly.Indexes {
			lost[i] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.topics == nil {
		r.topics = make(map[string][]*pubsub.Message)
	}
	for i, m := range ms {
		if !lost[i] {
			r.topics[topic] = append(r.topics[topic], m)
		}
	}
}

// FailWith has decide say what every later Publish returns, wrapped: nil records the messages, a *pubsub.PublishError
// all but those that it names, and any other error none. Calls count from 1, since the Recorder's first; those that are
// refused do not count. Nil ends it.
func (r *Recorder) FailWith(decide func(call int, topic string, ms []*pubsub.Message) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = decide
}

// Messages returns what was published to topic, in order. The slice is the caller's, the messages are shared.
func (r *Recorder) Messages(topic string) []*pubsub.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*pubsub.Message(nil), r.topics[topic]...)
}

// Events returns what was published to a typed topic, in order. The error says which message is not of type T.
func Events[T any](r *Recorder, t *pubsub.Topic[T]) ([]T, error) {
	var events []T
	for i, m := range r.Messages(t.Name()) {
		e, err := t.Decode(m)
		if err != nil {
			return events, fmt.Errorf("pubsubtest: message %d: %w", i, err)
		}
		events = append(events, e)
	}
	return events, nil
}
