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

// metaSubscription is the consumer's metadata that holds the subscription's name, dots and all. It marks a consumer
// as ours.
const metaSubscription = "mainstay-subscription"

// durable names the consumer of a subscription. A stream may hold many topics, a consumer reads one.
func durable(topic, name string) string { return flat(name) + "-" + flat(topic) }

// ensureConsumer returns the consumer of a subscription and creates it where there is none, beginning at the sequence
// start, or where o says when that is zero.
func (b *Broker) ensureConsumer(ctx context.Context, s stream, o driver.SubscribeOptions, start uint64) (
	jetstream.Consumer, error,
) {
	c, err := b.js.Consumer(ctx, s.name, durable(o.Topic, o.Name))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		c, err = b.js.CreateConsumer(ctx, s.name, consumerConfig(s, o, start))
		if err == nil && o.Ordered {
			err = canPin(c.CachedInfo().Config)
		}
		return c, err
	}
	if err != nil {
		return nil, err
	}
	have := c.CachedInfo().Config
	if err := belongs(have, o.Topic, o.Name); err != nil {
		return nil, err
	}
	want := have
	setFilters(&want, s.filters(o.Topic, o.Name))
	want.AckWait, want.BackOff, want.MaxDeliver = o.Lease, nil, -1
	want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
	want.HeadersOnly, want.InactiveThreshold, want.MaxRequestBatch, want.MaxRequestExpires = false, 0, 0, 0
	if o.Ordered {
		pinned(&want, o.Lease)
	}
	if have.Metadata[metaSubscription] == "" {
		return c, foreign(have, want)
	}
	want.MaxAckPending = -1
	changes := differences(have, want)
	if len(changes) == 0 {
		return c, nil
	}
	if c, err = b.js.UpdateConsumer(ctx, s.name, want); err == nil {
		b.o.Logger.InfoContext(ctx, "consumer follows its subscription",
			"stream", s.name, "consumer", want.Durable, "changes", strings.Join(changes, "; "))
		if o.Ordered {
			err = canPin(c.CachedInfo().Config)
		}
	}
	return c, err
}

func consumerConfig(s stream, o driver.SubscribeOptions, start uint64) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Durable:       durable(o.Topic, o.Name),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       o.Lease,
		MaxDeliver:    -1,
		MaxAckPending: -1,
		Metadata:      map[string]string{metaSubscription: o.Name},
	}
	setFilters(&c, s.filters(o.Topic, o.Name))
	setStart(&c, o.Start)
	if o.Ordered {
		pinned(&c, o.Lease)
	}
	if start > 0 {
		c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = jetstream.DeliverByStartSequencePolicy, start, nil
	}
	return c
}

func setStart(c *jetstream.ConsumerConfig, start driver.Start) {
	c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = jetstream.DeliverNewPolicy, 0, nil
	switch {
	case start.Earliest:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case !start.Time.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, new(start.Time.UTC())
	}
}

func setFilters(c *jetstream.ConsumerConfig, filters []string) {
	c.FilterSubject, c.FilterSubjects = "", nil
	if len(filters) == 1 {
		c.FilterSubject = filters[0]
		return
	}
	c.FilterSubjects = filters
}

// filtersOf returns what a consumer reads, nothing for the whole stream.
func filtersOf(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject == "" {
		return c.FilterSubjects
	}
	return append([]string{c.FilterSubject}, c.FilterSubjects...)
}

// belongs says whether a consumer that exists is the subscription's: "a.b" and "a_b" have consumers of one name.
func belongs(c jetstream.ConsumerConfig, topic, name string) error {
	filters := filtersOf(c)
	owner, known := c.Metadata[metaSubscription]
	switch {
	case known && owner != name:
		return permanentError{fmt.Errorf("consumer %q belongs to subscription %q", c.Durable, owner)}
	case len(filters) > 0 && slices.ContainsFunc(filters, func(f string) bool {
		return f != topic && f != redelivery(topic, name)
	}):
		return permanentError{fmt.Errorf("consumer %q exists for %v", c.Durable, filters)}
	case c.AckPolicy != jetstream.AckExplicitPolicy || c.DeliverSubject != "":
		return permanentError{
			fmt.Errorf("consumer %q exists and is no pull consumer with explicit acknowledgement", c.Durable),
		}
	}
	return nil
}

// foreign returns what has to be changed of a consumer that somebody else made before it can be used. How many
// unacknowledged messages it allows, and whether it reads what is redelivered, is left to its maker.
func foreign(have, want jetstream.ConsumerConfig) error {
	setFilters(&want, filtersOf(have))
	want.MaxAckPending = have.MaxAckPending
	changes := differences(have, want)
	if len(changes) == 0 {
		return nil
	}
	return permanentError{fmt.Errorf("consumer %q was made by somebody else and does not fit: %s. "+
		"Change it, or delete it to have it made", have.Durable, strings.Join(changes, "; "))}
}

// differences names what is not as it should be.
func differences(have, want jetstream.ConsumerConfig) []string {
	var all notes
	all.add(have.AckWait != want.AckWait, "AckWait", have.AckWait, want.AckWait)
	all.add(len(have.BackOff) != len(want.BackOff), "BackOff", have.BackOff, []time.Duration{})
	all.add(have.MaxDeliver != want.MaxDeliver, "MaxDeliver", have.MaxDeliver, want.MaxDeliver)
	all.add(have.MaxAckPending != want.MaxAckPending, "MaxAckPending", have.MaxAckPending, want.MaxAckPending)
	all.add(have.PriorityPolicy != want.PriorityPolicy, "PriorityPolicy", priority(have), priority(want))
	all.add(have.PinnedTTL != want.PinnedTTL, "PinnedTTL", have.PinnedTTL, want.PinnedTTL)
	all.add(!slices.Equal(have.PriorityGroups, want.PriorityGroups), "PriorityGroups",
		have.PriorityGroups, want.PriorityGroups)
	// Messages without their data, a place that is forgotten, and requests that are refused.
	all.add(have.HeadersOnly != want.HeadersOnly, "HeadersOnly", have.HeadersOnly, want.HeadersOnly)
	all.add(have.InactiveThreshold != want.InactiveThreshold, "InactiveThreshold",
		have.InactiveThreshold, want.InactiveThreshold)
	all.add(have.MaxRequestBatch != want.MaxRequestBatch, "MaxRequestBatch", have.MaxRequestBatch, want.MaxRequestBatch)
	all.add(have.MaxRequestExpires != want.MaxRequestExpires, "MaxRequestExpires",
		have.MaxRequestExpires, want.MaxRequestExpires)
	h, w := slices.Sorted(slices.Values(filtersOf(have))), slices.Sorted(slices.Values(filtersOf(want)))
	all.add(!slices.Equal(h, w), "filter", h, w)
	return all
}

// notes names settings that are not as they should be.
type notes []string

func (n *notes) add(amiss bool, field string, have, want any) {
	if amiss {
		*n = append(*n, fmt.Sprintf("%s is %v, want %v", field, have, want))
	}
}

// priority names a policy as the server does.
func priority(c jetstream.ConsumerConfig) string {
	name, err := c.PriorityPolicy.MarshalJSON()
	if err != nil || len(name) == 0 || string(name) == `""` {
		return "none"
	}
	return strings.Trim(string(name), `"`)
}
