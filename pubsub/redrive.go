package pubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

const (
	// attrDeaths says how often a message was put back from a dead-letter topic.
	attrDeaths = "mainstay-deaths"

	// moved is what starts anew when a dead letter is put back.
	attrMovedAttempts  = "mainstay-attempts"
	attrMovedNotBefore = "mainstay-not-before"
	attrMovedFirst     = "mainstay-first-failure"
)

// RedriveOptions configures [Redrive]. The zero value puts back at most 1,000 letters, 100 a second.
type RedriveOptions struct {
	// Filter says which letters to put back, by what a handler of the dead-letter topic would see. It must not change the
	// message. Nil means all.
	Filter func(m *Message) bool
	// Origins are the subscriptions that letters may go back to; one that names another stays. Nil means the
	// subscription whose default dead-letter topic this is. A letter's attributes are no proof: whoever may write to the
	// topic may write any.
	Origins []Origin
	// Rate bounds the letters put back a second. Zero means 100; negative means no bound.
	Rate float64
	// Max bounds the letters put back by one run, or that a dry run would put back. Zero means 1,000; negative means no
	// bound.
	Max int
	// MaxDeaths bounds how often a message is put back in its life: one that was put back so often, and died each time
	// since, stays. Zero means 3; negative means no bound.
	MaxDeaths int
	// DryRun counts, and changes nothing. Rate does not apply.
	DryRun bool
}

// Origin is a subscription.
type Origin struct {
	Topic        string // what it receives
	Subscription string // its name
}

// RedriveResult counts the letters that a run of [Redrive] looked at. Each is in one of the other fields, but one that
// an error ended the run at.
type RedriveResult struct {
	Seen     int // looked at
	Redriven int // put back and removed; in a dry run: would be
	Filtered int // stayed because of Filter
	Deaths   int // stayed because of MaxDeaths
	Foreign  int // stayed because it names no origin, or one that it must not name
	Again    int // stayed because it was put back by this run and has died since
}

// Redrive puts the dead letters of a topic back to the subscriptions where they died, oldest first, and removes them
// from the topic. Nobody else sees them. They keep their ID, so that an inbox drops what was done already, their
// payload and their attributes; attempts count from 1.
//
// A letter is removed once the broker has confirmed that the message is stored again, one after the other. A run that
// ends early, by its context (in 10s at most) or an error, may be started anew: it puts back what is left, and at most
// the last letter a second time. Of two runs at a time, both may put back what both look at. The result counts what
// was done, also beside an error, and is never nil.
//
// Letters of one key are put back in the order in which they died, as far as their broker keeps one (SQS keeps about
// one). They come behind what waits in the subscription:
// later messages of their key may be, and mostly are, handled before them.
//
// Where the broker cannot browse a topic, or redeliver to one subscription, the error matches [errors.ErrUnsupported].
// A nil o means the defaults.
func Redrive(ctx context.Context, c *Client, deadLetterTopic string, o *RedriveOptions) (*RedriveResult, error) {
	r, err := newRedrive(c, deadLetterTopic, o)
	if err == nil {
		err = r.run(ctx)
	}
	if err != nil {
		return &r.result, fmt.Errorf("pubsub: redrive %q: %w", deadLetterTopic, err)
	}
	return &r.result, nil
}

// redrive is one run.
type redrive struct {
	client    *Client
	topic     string // of the dead letters
	letters   *browsing
	to        driver.Redeliverer
	filter    func(*Message) bool
	origins   map[Origin]bool // nil for the default
	interval  time.Duration   // between letters, zero for none
	max       int
	maxDeaths int
	dry       bool

	due    time.Time      // of the next letter
	deaths map[string]int // of each ID that was put back, as written to it
	result RedriveResult
}

func newRedrive(c *Client, topic string, o *RedriveOptions) (*redrive, error) {
	if o == nil {
		o = &RedriveOptions{}
	}
	r := &redrive{
		client: c, topic: topic, filter: o.Filter, dry: o.DryRun, deaths: make(map[string]int),
		max: boundOr(o.Max, 1_000), maxDeaths: boundOr(o.MaxDeaths, 3),
	}
	if math.IsNaN(o.Rate) {
		return r, &InvalidError{"Rate", "must be a number"}
	}
	if rate := cmp.Or(o.Rate, 100); rate > 0 {
		// A rate of next to nothing is an interval of next to for ever, not one that overflows to none.
		r.interval = time.Duration(min(float64(time.Second)/rate, float64(math.MaxInt64/2)))
	}
	if o.Origins != nil {
		r.origins = make(map[Origin]bool, len(o.Origins))
	}
	for _, origin := range o.Origins {
		if err := origin.check(); err != nil {
			return r, err
		}
		r.origins[origin] = true
	}
	var err error
	if r.letters, err = newBrowsing(c, topic); err != nil {
		return r, err
	}
	var ok bool
	if r.to, ok = c.broker.(driver.Redeliverer); !ok {
		return r, fmt.Errorf("the broker cannot redeliver to one subscription: %w", errors.ErrUnsupported)
	}
	return r, nil
}

// boundOr returns n, byDefault for zero, and for negative as much as there can be.
func boundOr(n, byDefault int) int {
	if n < 0 {
		return math.MaxInt
	}
	return cmp.Or(n, byDefault)
}

func (o Origin) check() error {
	if err := checkTopic("Origins: topic", o.Topic); err != nil {
		return err
	}
	return checkName("Origins: subscription", o.Subscription, maxSubscriptionLength)
}

func (r *redrive) run(ctx context.Context) error {
	for {
		ds, err := r.letters.next(ctx, browsePage)
		if err != nil || len(ds) == 0 {
			return err
		}
		for _, d := range ds {
			if r.result.Redriven == r.max {
				return nil
			}
			if err := r.letter(ctx, d); err != nil {
				return err
			}
		}
	}
}

// letter deals with one.
func (r *redrive) letter(ctx context.Context, d *driver.Delivery) error {
	r.result.Seen++
	m := decode(r.topic, "", d, r.client.traceFields)
	deaths := deathsOf(d.Attributes)
	origin, known := r.origin(m.DeadLetter)
	switch written, again := r.deaths[m.ID]; {
	case !known:
		r.result.Foreign++
		return nil
	case again && deaths >= written:
		r.result.Again++
		return nil
	case deaths >= r.maxDeaths:
		r.result.Deaths++
		return nil
	case r.filter != nil && !r.filter(m):
		r.result.Filtered++
		return nil
	case r.dry:
		r.result.Redriven++
		return nil
	}
	if err := r.pace(ctx); err != nil {
		return err
	}
	if err := r.putBack(ctx, d, m, origin, deaths+1); err != nil {
		return err
	}
	r.deaths[m.ID] = deaths + 1
	r.result.Redriven++
	r.client.observer.redriven.WithLabelValues(origin.Topic, origin.Subscription).Inc()
	return nil
}

// origin returns where a letter says that it died, and whether it may.
func (r *redrive) origin(l *DeadLetter) (Origin, bool) {
	if l == nil {
		return Origin{}, false
	}
	o := Origin{l.Topic, l.Subscription}
	if r.origins != nil {
		return o, r.origins[o]
	}
	return o, o.check() == nil && defaultDeadLetter(o.Topic, o.Subscription) == r.topic
}

// deathsOf reads what Redrive wrote. What a stranger wrote wrongly counts as none.
func deathsOf(attrs driver.Attributes) int {
	n, err := strconv.Atoi(attrs.Get(attrDeaths))
	if err != nil || n < 0 || n == math.MaxInt {
		return 0
	}
	return n
}

// pace waits for the next letter's time.
func (r *redrive) pace(ctx context.Context) error {
	now := time.Now()
	wait := r.due.Sub(now)
	r.due = now.Add(max(wait, 0) + r.interval)
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// putBack stores m once more, for its origin alone, and then removes the letter.
func (r *redrive) putBack(ctx context.Context, d *driver.Delivery, m *Message, to Origin, deaths int) error {
	// Once a letter is begun with, ctx does not end it: a message that is stored and a letter that stays are two.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	sending := r.client.observer.sending(ctx, to.Topic, 1)
	_, span := sending.start(r.client.propagator.Extract(ctx, carried(&m.Trace)))
	describe(span, m)
	again := driver.Message{ID: m.ID, Key: m.Key, Attributes: revived(d.Attributes, deaths), Data: d.Data}
	err := r.to.Redeliver(ctx, to.Topic, to.Subscription, []driver.Message{again}, 0)
	sending.end(err)
	if err != nil {
		return fmt.Errorf("letter %s to subscription %q of %q: %w", d.Position, to.Subscription, to.Topic, err)
	}
	if err := r.letters.Remove(ctx, r.topic, []*driver.Delivery{d}); err != nil {
		return fmt.Errorf("letter %s is put back and cannot be removed: %w", d.Position, err)
	}
	return nil
}

// revived returns a letter's attributes without those of its death.
func revived(attrs driver.Attributes, deaths int) driver.Attributes {
	attrs = slices.Clone(attrs)
	attrs.Delete(
		attrDeadTopic, attrDeadSubscription, attrDeadReason, attrDeadError, attrDeadAttempts, attrDeadTime,
		attrDeadPosition, attrDeadClass, attrDeadFirst, attrMovedAttempts, attrMovedNotBefore, attrMovedFirst,
	)
	attrs.Set(attrDeaths, strconv.Itoa(deaths))
	return attrs
}
