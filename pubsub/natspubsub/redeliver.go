package natspubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// redeliveryToken stands between a topic and the name of the subscription that a message comes back to. No topic and
// no name of package pubsub has a '$'.
const redeliveryToken = ".$redeliver."

// redelivery is the subject of what comes back to one subscription alone.
func redelivery(topic, name string) string { return topic + redeliveryToken + name }

// redeliveries matches the redelivery subjects of all subscriptions of topic.
func redeliveries(topic string) string { return topic + redeliveryToken + ">" }

// filters returns what a subscription reads: its topic, and what is redelivered to it where the stream holds that.
func (s stream) filters(topic, name string) []string {
	if s.holds(redelivery(topic, name)) {
		return []string{topic, redelivery(topic, name)}
	}
	return []string{topic}
}

func (s stream) holds(subject string) bool {
	return slices.ContainsFunc(s.subjects, func(pattern string) bool { return covers(pattern, subject) })
}

// covers reports whether a pattern of NATS, with '*' for one token and a last '>' for one or more, matches subject, or all
// that subject does where it is a pattern itself.
func covers(pattern, subject string) bool {
	tokens := strings.Split(subject, ".")
	for i, p := range strings.Split(pattern, ".") {
		switch {
		case i >= len(tokens):
			return false
		case p == ">":
			return true
		case p != "*" && p != tokens[i], tokens[i] == ">":
			return false
		}
	}
	return strings.Count(pattern, ".") == len(tokens)-1
}

// Redeliver stores ms on a subject that the subscription alone reads, "TOPIC.$redeliver.NAME", in the topic's stream,
// and does not wait for delay. It implements driver.Redeliverer. It returns a permanent error, which says what is
// missing, where the stream does not hold that subject or the subscription does not read it.
func (b *Broker) Redeliver(
	ctx context.Context, topic, name string, ms []driver.Message, _ time.Duration,
) error {
	s, err := b.ensureStream(ctx, topic)
	if err != nil {
		return err
	}
	if err := b.reads(ctx, s, topic, name); err != nil {
		b.forgetStream(topic) // somebody may add the subject
		return fmt.Errorf("natspubsub: redeliver to %q of %q: %w", name, topic, err)
	}
	return b.publish(ctx, &publication{Broker: b, topic: topic, subject: redelivery(topic, name)}, s, ms)
}

// reads says why a subscription does not get what is redelivered to it.
func (b *Broker) reads(ctx context.Context, s stream, topic, name string) error {
	subject := redelivery(topic, name)
	if !s.holds(subject) {
		return permanentError{fmt.Errorf("stream %q does not hold %q: add %q to its subjects, then open the "+
			"subscription again", s.name, subject, redeliveries(topic))}
	}
	c, err := b.js.Consumer(ctx, s.name, durable(topic, name))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return permanentError{err}
	}
	if err != nil {
		return err
	}
	have := c.CachedInfo().Config
	if err := belongs(have, topic, name); err != nil {
		return err
	}
	if filters := filtersOf(have); len(filters) > 0 && !slices.Contains(filters, subject) {
		return permanentError{fmt.Errorf("consumer %q does not read %q: open the subscription again", have.Durable, subject)}
	}
	return nil
}
