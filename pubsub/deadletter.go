package pubsub

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// The attributes that a dead letter has in addition to those of the original message.
const (
	attrDeadTopic        = "mainstay-dead-letter-topic"
	attrDeadSubscription = "mainstay-dead-letter-subscription"
	attrDeadReason       = "mainstay-dead-letter-reason"
	attrDeadError        = "mainstay-dead-letter-error"
	attrDeadAttempts     = "mainstay-dead-letter-attempts"
	attrDeadTime         = "mainstay-dead-letter-time"
	attrDeadClass        = "mainstay-dead-letter-class"
	attrDeadFirst        = "mainstay-dead-letter-first-failure"
	attrDeadPosition     = "mainstay-dead-letter-position"
)

// DeadLetter says why a message is on a dead-letter topic: [Message.DeadLetter].
type DeadLetter struct {
	Topic        string // where the message could not be handled from
	Subscription string // who could not handle it
	// Reason is "permanent" (the error said so, or the payload did not decode), "exhausted" (Retry.MaxAttempts),
	// "expired" (Retry.MaxAge) or "deliveries" (it ended its consumers).
	Reason string
	// Class is the kind of the last error, in the words of the error_type label of messaging_process_duration_seconds
	// ("timeout", "panic", "decode", …, "_OTHER"). Empty for "deliveries".
	Class       string
	Error       string    // the text of the last error, one line of at most 1024 bytes
	Attempts    int       // that were made; a delivery that ended without an outcome counts as one
	FirstFailed time.Time // the end of the first attempt that failed; zero for "deliveries"
	Time        time.Time // when it was given up
	Position    string    // the original's place in the broker, in the broker's terms
}

// defaultDeadLetter names the dead-letter topic of a subscription that names none.
func defaultDeadLetter(topic, name string) string { return topic + ".dead-letter." + name }

// deadLetterOf reads what deadLetter wrote, nil where there is nothing.
func deadLetterOf(attrs driver.Attributes) *DeadLetter {
	if attrs.Get(attrDeadTopic) == "" {
		return nil
	}
	l := &DeadLetter{
		Topic:        text(attrs.Get(attrDeadTopic), maxTopicLength),
		Subscription: text(attrs.Get(attrDeadSubscription), maxNameLength),
		Reason:       text(attrs.Get(attrDeadReason), maxNameLength),
		Class:        text(attrs.Get(attrDeadClass), maxNameLength),
		Error:        text(attrs.Get(attrDeadError), maxErrorText),
		Position:     text(attrs.Get(attrDeadPosition), maxNameLength),
	}
	// What a stranger wrote wrongly stays zero.
	l.Attempts, _ = strconv.Atoi(attrs.Get(attrDeadAttempts))
	l.Time, _ = time.Parse(time.RFC3339Nano, attrs.Get(attrDeadTime))
	l.FirstFailed, _ = time.Parse(time.RFC3339Nano, attrs.Get(attrDeadFirst))
	return l
}

const (
	reasonPermanent  = "permanent"
	reasonExhausted  = "exhausted"
	reasonExpired    = "expired"
	reasonDeliveries = "deliveries"

	maxErrorText = 1024
)

// burial is why a message goes to the dead letter, and how often that was tried.
type burial struct {
	reason   string
	class    string // of err, "" where no attempt had an outcome
	attempts int
	err      error
	failures int // of storing the dead letter
}

// bury stores the dead letter. The original may be acknowledged only then; where it cannot be stored, the message
// stays and so does its key, and another try follows.
func (s *Subscription) bury(ctx context.Context, it *item) result {
	err := s.storeDeadLetter(ctx, it)
	attrs := append(logged(it.m, it.dead.err), "reason", it.dead.reason, "dead_letter_topic", s.o.DeadLetter)
	switch {
	case err == nil:
		s.client.observer.deadLetters.WithLabelValues(s.topic, s.name, it.dead.reason).Inc()
		s.log.ErrorContext(ctx, "message was dead-lettered", attrs...)
		return result{it: it, verdict: settled}
	case ctx.Err() != nil:
		return result{it: it, verdict: released}
	}
	it.dead.failures++
	delay := backoff.Delay(it.dead.failures, 500*time.Millisecond, 30*time.Second)
	s.log.ErrorContext(ctx, "dead letter cannot be stored, the message is kept",
		append(attrs, "store_error", err, "retry_in", delay)...)
	return result{it: it, verdict: again, delay: delay}
}

func (s *Subscription) storeDeadLetter(ctx context.Context, it *item) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	sending := s.client.observer.sending(ctx, s.o.DeadLetter, 1)
	_, span := sending.start(ctx)
	describe(span, it.m)
	letter := s.deadLetter(it)
	err := s.client.broker.Publish(ctx, s.o.DeadLetter, []driver.Message{letter})
	var tooLarge *TooLargeError
	if errors.As(err, &tooLarge) {
		// The original just fitted. It matters more than what we know about it, which the log has too.
		letter.Attributes = it.d.Attributes
		err = s.client.broker.Publish(ctx, s.o.DeadLetter, []driver.Message{letter})
	}
	sending.end(err)
	return err
}

// deadLetter returns the original, untouched, with attributes that say what happened to it.
func (s *Subscription) deadLetter(it *item) driver.Message {
	attrs := identified(it)
	// A letter begins anew, whoever handles it.
	attrs.Delete(attrMovedAttempts, attrMovedNotBefore, attrMovedFirst)
	attrs.Set(attrDeadTopic, s.topic)
	attrs.Set(attrDeadSubscription, s.name)
	attrs.Set(attrDeadReason, it.dead.reason)
	attrs.Set(attrDeadError, errorText(it.dead.err))
	attrs.Set(attrDeadAttempts, strconv.Itoa(it.dead.attempts))
	attrs.Delete(attrDeadClass, attrDeadFirst, attrDeadPosition) // it may have died before
	attrs = appendIf(attrs, attrDeadClass, it.dead.class)
	if !it.failed.IsZero() {
		attrs.Set(attrDeadFirst, it.failed.UTC().Format(time.RFC3339Nano))
	}
	attrs.Set(attrDeadTime, time.Now().UTC().Format(time.RFC3339Nano))
	attrs = appendIf(attrs, attrDeadPosition, text(it.d.Position, maxNameLength))
	return driver.Message{
		// The same delivery buried twice is one letter to a broker that deduplicates; the same message, published
		// again and buried again, is another.
		ID:         it.m.ID + "@" + it.d.Position,
		Key:        it.m.Key,
		Attributes: attrs,
		Data:       it.d.Data,
	}
}

// errorText makes err fit an attribute: one line of clean text, at most maxErrorText bytes.
func errorText(err error) string {
	s := strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(err.Error(), "\uFFFD"))
	if len(s) > maxErrorText {
		s = strings.ToValidUTF8(s[:maxErrorText], "") // less a rune cut in two
	}
	return s
}
