package outbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// publish sends rows, topic by topic, and returns those that the broker has and those that it will never take. The
// rest stays for another round.
func (r *Relay) publish(ctx context.Context, rows []row) (sent, parked []row) {
	var topics []string
	byTopic := map[string][]row{}
	for _, w := range rows {
		if w.err != nil {
			parked = append(parked, r.park(ctx, w, w.err))
			continue
		}
		if byTopic[w.topic] == nil {
			topics = append(topics, w.topic)
		}
		byTopic[w.topic] = append(byTopic[w.topic], w)
	}
	for _, topic := range topics {
		s, p := r.publishTopic(ctx, topic, byTopic[topic])
		sent, parked = append(sent, s...), append(parked, p...)
	}
	return sent, parked
}

// publishTopic sends rows at once, and one by one where one of them cannot be sent at all: which, only that tells.
func (r *Relay) publishTopic(ctx context.Context, topic string, rows []row) (sent, parked []row) {
	sent, left, err := r.try(ctx, topic, rows)
	if err != nil && !resilience.IsPermanent(err) {
		r.fail(ctx, topic, err)
		return sent, nil
	}
	for _, w := range left {
		one := []row{w}
		if len(rows) > 1 {
			one, _, err = r.try(ctx, topic, one)
		}
		switch {
		case err == nil:
			sent = append(sent, one...)
		case resilience.IsPermanent(err):
			parked = append(parked, r.park(ctx, w, err))
		default:
			// Those after it wait too: one of them may have its key.
			r.fail(ctx, topic, err)
			return sent, parked
		}
	}
	delete(r.topics, topic)
	return sent, parked
}

// try publishes rows and returns those that were stored, and those that may not be.
func (r *Relay) try(ctx context.Context, topic string, rows []row) (sent, left []row, err error) {
	ms := make([]*pubsub.Message, len(rows))
	for i, w := range rows {
		ms[i] = w.message
	}
	err = r.client.Publish(ctx, topic, ms...)
	if err == nil {
		return rows, nil, nil
	}
	var partly *pubsub.PublishError
	if !errors.As(err, &partly) {
		return nil, rows, err
	}
	failed := map[int]bool{}
	for _, i := range partly.Indexes {
		failed[i] = true
	}
	for i, w := range rows {
		if failed[i] {
			left = append(left, w)
		} else {
			sent = append(sent, w)
		}
	}
	return sent, left, err
}

// fail has topic wait before it is tried again, longer each time. How often a row was tried is not counted: a broker
// that is away is no fault of the message's.
func (r *Relay) fail(ctx context.Context, topic string, err error) {
	o := r.topics[topic]
	if o == nil {
		o = &outage{}
		r.topics[topic] = o
	}
	r.held[topic] = true
	o.failures++
	pause := backoff.Delay(o.failures, minBackoff, maxBackoff)
	o.until = time.Now().Add(pause)
	r.log.WarnContext(ctx, "outbox: the broker does not take a topic's messages", "topic", topic,
		"failures", o.failures, "retry_in", pause, "error", err)
}

// blocked returns the topics that are not to be tried yet.
func (r *Relay) blocked() []string {
	var names []string
	now := time.Now()
	for topic, o := range r.topics {
		if now.Before(o.until) {
			names = append(names, topic)
		}
	}
	return names
}

// forget drops the outages of topics that may be tried and have no row left, rows being all there are.
func (r *Relay) forget(rows []row) {
	now := time.Now()
	for topic, o := range r.topics {
		waits := func(w row) bool { return w.topic == topic }
		if !now.Before(o.until) && !slices.ContainsFunc(rows, waits) {
			delete(r.topics, topic)
		}
	}
}

// park notes that w is to be set aside. Its line in the log is of the message's story; the relay's other lines are of
// nobody's.
func (r *Relay) park(ctx context.Context, w row, err error) row {
	w.err = err
	if correlation.Valid(w.message.CorrelationID) {
		ctx = correlation.NewContext(ctx, w.message.CorrelationID)
	}
	r.log.ErrorContext(ctx, "outbox: message set aside", "topic", w.topic, "message_id", w.message.ID,
		"seq", w.seq, "error", err)
	return w
}
