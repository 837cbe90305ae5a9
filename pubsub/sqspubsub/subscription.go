package sqspubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
	attributes, err := b.grave(ctx, t, o.DeadLetter)
	if err != nil {
		return nil, err
	}
	filter := ""
	if b.o.FilterPolicy != nil {
		filter = b.o.FilterPolicy(o.Topic, o.Name)
	}
	q, err := b.ensureQueue(ctx, t, name, t.fifo, attributes, filter)
	if err != nil {
		return nil, err
	}
	return newSubscription(b, q, o.Lease), nil
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
func (b *Broker) grave(ctx context.Context, t topic, deadLetter string) (map[string]string, error) {
	dead, err := b.ensureTopic(ctx, deadLetter)
	if err != nil {
		return nil, err
	}
	name, err := serviceName("queue", deadLetter, false, maxQueueName)
	if err != nil {
		return nil, err
	}
	q, err := b.ensureQueue(ctx, dead, name, false, nil, "")
	if err != nil || t.fifo || b.o.MaxReceiveCount < 0 {
		return nil, err // SQS wants a dead-letter queue of the kind of its source
	}
	return map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`,
		dead.queueARN(q.name), b.o.MaxReceiveCount)}, nil
}

// subscription receives from a queue. A request for messages outlives a Receive whose context ends, since what the
// service hands to a request that was given up stays hidden for its lease: it waits here for the next Receive.
type subscription struct {
	b     *Broker
	q     queue
	lease time.Duration

	ctx    context.Context //nolint:containedctx // of the requests under way, which outlive a call: Close ends it
	cancel context.CancelFunc
	polls  sync.WaitGroup
	closed chan struct{}
	close  sync.Once
	err    error // of Close

	mu      sync.Mutex
	poll    chan struct{} // closed when the request under way has ended; nil for none
	buffer  []*driver.Delivery
	expires time.Time // of what is in buffer
	failed  error     // of the last request
}

func newSubscription(b *Broker, q queue, lease time.Duration) *subscription {
	s := &subscription{b: b, q: q, lease: lease, closed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Receive implements driver.Subscription.
func (s *subscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	for {
		if err := s.over(ctx); err != nil {
			return nil, err
		}
		ds, poll, err := s.takeOrPoll(n)
		if len(ds) > 0 || err != nil {
			return ds, err
		}
		select {
		case <-poll:
		case <-ctx.Done():
		case <-s.closed:
		}
	}
}

func (s *subscription) over(ctx context.Context) error {
	select {
	case <-s.closed:
		return driver.ErrClosed
	default:
		return ctx.Err()
	}
}

// takeOrPoll returns what is here, or what to wait for.
func (s *subscription) takeOrPoll(n int) ([]*driver.Delivery, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().After(s.expires) {
		s.buffer = nil // they are visible to others again
	}
	if k := min(n, len(s.buffer)); k > 0 {
		ds := s.buffer[:k:k]
		s.buffer = s.buffer[k:]
		return ds, nil, nil
	}
	if err := s.failed; err != nil {
		s.failed = nil
		return nil, nil, err
	}
	if s.poll == nil && s.ctx.Err() == nil {
		s.poll = make(chan struct{})
		s.polls.Go(func() { s.fetch(min(n, maxBatch)) })
	}
	return nil, s.poll, nil
}

// fetch makes one request.
func (s *subscription) fetch(n int) {
	ms, err := s.b.receive(s.ctx, s.q, n, s.lease, s.b.o.PollWait)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.poll)
	s.poll = nil
	if err != nil {
		s.failed = fmt.Errorf("sqspubsub: receive: %w", err)
		return
	}
	s.expires = time.Now().Add(s.lease)
	for _, m := range ms {
		s.buffer = append(s.buffer, delivery(m))
	}
}

// receive makes one request for at most ten messages, which are hidden for lease.
func (b *Broker) receive(ctx context.Context, q queue, n int, lease, wait time.Duration) ([]types.Message, error) {
	out, err := b.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: q.url, MaxNumberOfMessages: int32(n), //nolint:gosec // at most ten
		VisibilityTimeout: max(wholeSeconds(lease, maxVisibility), 1), WaitTimeSeconds: wholeSeconds(wait, maxVisibility),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

func delivery(m types.Message) *driver.Delivery {
	d := &driver.Delivery{Position: aws.ToString(m.MessageId), Handle: aws.ToString(m.ReceiptHandle)}
	d.Attempt, _ = strconv.Atoi(m.Attributes["ApproximateReceiveCount"]) // zero where it is missing
	if ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil {
		d.Published = time.UnixMilli(ms)
	}
	body, raw := aws.ToString(m.Body), make(driver.Attributes, 0, len(m.MessageAttributes))
	for name, a := range m.MessageAttributes {
		v := aws.ToString(a.StringValue)
		if a.StringValue == nil {
			v = string(a.BinaryValue)
		}
		raw = append(raw, driver.Attribute{Name: name, Value: v})
	}
	if len(raw) == 0 {
		if inner, attrs, ok := unwrap(body); ok {
			body, raw = inner, attrs
		}
	}
	attrs, encoding := decodeAttributes(raw)
	d.Message = driver.Message{Attributes: attrs, Data: decodeBody(body, encoding)}
	return d
}

// Close waits for the request under way, at most Options.PollWait, and gives back what it brings and what was not
// received. What was received comes back when its lease ends. When ctx ends first, the request is given up: what the
// service hands to it is hidden for its lease.
func (s *subscription) Close(ctx context.Context) error {
	s.close.Do(func() { s.err = s.shut(ctx) })
	return s.err
}

func (s *subscription) shut(ctx context.Context) error {
	close(s.closed)
	defer s.cancel()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.polls.Wait()
	s.mu.Lock()
	ds := s.buffer
	s.buffer = nil
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
