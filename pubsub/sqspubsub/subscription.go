package sqspubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// maxVisibility is how long SQS hides a message, counted from its receipt.
const maxVisibility = 12 * time.Hour

// Subscribe finds or creates the subscription's queue, its dead-letter queue, and their subscriptions to SNS topics. It
// implements driver.Broker.
func (b *Broker) Subscribe(ctx context.Context, o driver.SubscribeOptions) (driver.Subscription, error) {
	t, err := b.ensureTopic(ctx, o.Topic)
	if err != nil {
		return nil, err
	}
	switch {
	case o.Ordered && !t.fifo:
		return nil, permanentError{fmt.Errorf("sqspubsub: %q is no FIFO topic: %w", o.Topic, driver.ErrUnordered)}
	case o.Lease > maxVisibility:
		return nil, permanentError{fmt.Errorf("sqspubsub: lease of %v, at most %v is allowed", o.Lease, maxVisibility)}
	}
	name, err := serviceName("queue", o.Topic+"@"+o.Name, t.fifo, maxQueueName)
	if err != nil {
		return nil, err
	}
	if err := b.beginsAtEnd(ctx, name, o.Start, t.fifo); err != nil {
		return nil, err
	}
	q, grave, err := b.open(ctx, name, o)
	if err != nil {
		return nil, err
	}
	s := newSubscription(b, q, o.Lease)
	s.sources, s.graveName = []string{q.subscription, grave.subscription}, grave.name
	s.reopen = func(ctx context.Context) (queue, queue, error) {
		b.forgetTopic(o.Topic)
		b.forgetTopic(o.DeadLetter)
		return b.open(ctx, name, o)
	}
	return s, nil
}

// open finds or makes all that a subscription needs: its queue, the one of its dead letters, and their topics.
func (b *Broker) open(ctx context.Context, name string, o driver.SubscribeOptions) (q, grave queue, err error) {
	t, err := b.ensureTopic(ctx, o.Topic)
	if err != nil {
		return q, grave, err
	}
	grave, attributes, err := b.grave(ctx, t, o.DeadLetter)
	if err != nil {
		return q, grave, err
	}
	filter := ""
	if b.o.FilterPolicy != nil {
		filter = b.o.FilterPolicy(o.Topic, o.Name)
	}
	q, err = b.ensureQueue(ctx, t, name, t.fifo, attributes, filter)
	return q, grave, err
}

// beginsAtEnd refuses a start in the past for a queue that does not exist: SNS keeps none.
func (b *Broker) beginsAtEnd(ctx context.Context, name string, at driver.Start, fifo bool) error {
	if !at.Earliest && at.Time.IsZero() {
		return nil
	}
	_, _, err := b.findQueue(ctx, name, fifo)
	if isMissing(err) {
		return permanentError{fmt.Errorf("sqspubsub: start of new queue %q in the past: %w", name, errors.ErrUnsupported)}
	}
	return err
}

// grave ensures the queue that keeps what is published to a dead-letter topic, which is a standard one, and returns
// what the queue of t needs to be told of it.
func (b *Broker) grave(ctx context.Context, t topic, deadLetter string) (queue, map[string]string, error) {
	dead, err := b.ensureTopic(ctx, deadLetter)
	if err != nil {
		return queue{}, nil, err
	}
	name, err := serviceName("queue", deadLetter, false, maxQueueName)
	if err != nil {
		return queue{}, nil, err
	}
	q, err := b.ensureQueue(ctx, dead, name, false, nil, "")
	if err != nil || t.fifo || b.o.MaxReceiveCount < 0 {
		return q, nil, err // SQS wants a dead-letter queue of the kind of its source
	}
	return q, map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`,
		dead.queueARN(q.name), b.o.MaxReceiveCount)}, nil
}

// subscription receives from a queue. A request for messages outlives a Receive whose context ends, since what the
// service hands to a request that was given up stays hidden for its lease: it waits here for the next Receive.
type subscription struct {
	b      *Broker
	q      queue
	lease  time.Duration
	reopen func(ctx context.Context) (q, grave queue, err error)

	graveName string     // of the queue of its dead letters
	restoring sync.Mutex // guards sources, and is held while what is gone is made again
	sources   []string   // ARNs of the SNS subscriptions of both queues

	ctx      context.Context //nolint:containedctx // of the requests under way, which outlive a call: Close ends it
	cancel   context.CancelFunc
	requests sync.WaitGroup
	closed   chan struct{}
	close    sync.Once
	err      error // of Close

	mu        sync.Mutex
	receivers int // how many requests for messages are made at a time
	polling   int // how many are under way
	asked     int // what they ask for in all
	buffer    []kept
	changed   chan struct{} // closed and replaced when a request for messages has ended
	failed    error         // of the last that failed
	checked   time.Time     // when all that it needs was there
	sweeping  bool
	ended     bool // no request begins any more
}

func newSubscription(b *Broker, q queue, lease time.Duration) *subscription {
	s := &subscription{
		b: b, q: q, lease: lease, receivers: 1, closed: make(chan struct{}), changed: make(chan struct{}),
		checked: time.Now(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close waits for the requests under way, at most Options.PollWait, and gives back what they bring and what was not
// received. What was received comes back when its lease ends. When ctx ends first, the requests are given up: what the
// service hands to them is hidden for its lease.
func (s *subscription) Close(ctx context.Context) error {
	s.close.Do(func() { s.err = s.shut(ctx) })
	return s.err
}

func (s *subscription) shut(ctx context.Context) error {
	close(s.closed)
	defer s.cancel()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.requests.Wait()
	s.mu.Lock()
	ds := s.takeKept(len(s.buffer))
	s.mu.Unlock()
	return s.Release(ctx, ds, 0)
}

// Lag counts what is visible, delayed and in flight, about, as SQS does. It does not say since when. It implements
// driver.Lagger.
func (s *subscription) Lag(ctx context.Context) (driver.Lag, error) {
	names := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := s.b.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: s.q.url, AttributeNames: names})
	if err != nil {
		return driver.Lag{}, fmt.Errorf("sqspubsub: lag: %w", err)
	}
	var l driver.Lag
	for _, name := range names {
		n, err := strconv.ParseInt(out.Attributes[string(name)], 10, 64)
		if err != nil {
			return l, fmt.Errorf("sqspubsub: lag: %s: %w", name, err)
		}
		l.Messages += n
	}
	return l, nil
}
