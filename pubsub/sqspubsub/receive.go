package sqspubsub

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// keepTime is how long a delivery waits for a Receive, and half of its lease at most: whoever drains, rests or is busy
// does not receive, and others may.
const keepTime = time.Second

// kept is a delivery that waits for a Receive.
type kept struct {
	delivery *driver.Delivery
	until    time.Time // when it goes back
}

// Receive implements driver.Subscription.
func (s *subscription) Receive(ctx context.Context, n int) ([]*driver.Delivery, error) {
	for {
		if err := s.over(ctx); err != nil {
			return nil, err
		}
		ds, changed, err := s.takeOrPoll(n)
		if len(ds) > 0 || err != nil {
			return ds, err
		}
		select {
		case <-changed:
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
	s.dropStale()
	ds := s.takeKept(min(n, len(s.buffer)))
	if err := s.failed; err != nil && len(ds) == 0 {
		s.failed = nil
		return nil, nil, err
	}
	s.ask(n-len(ds), len(ds) == 0)
	return ds, s.changed, nil
}

// takeKept takes the first n of the buffer; s.mu is held.
func (s *subscription) takeKept(n int) []*driver.Delivery {
	ds := make([]*driver.Delivery, n)
	for i := range ds {
		ds[i] = s.buffer[i].delivery
	}
	s.buffer = s.buffer[n:]
	return ds
}

// ask begins as many requests as throughput wants, for n messages at most together with what is under way and here;
// s.mu is held. One for less than ten is made only where somebody waits and no other is under way.
func (s *subscription) ask(n int, waited bool) {
	for s.polling < s.receivers && !s.ended {
		size := min(n-s.asked-len(s.buffer), maxBatch)
		if size <= 0 || size < maxBatch && (s.polling > 0 || !waited) {
			return
		}
		s.polling++
		s.asked += size
		s.requests.Go(func() { s.fetch(size) })
	}
}

// fetch makes one request, and learns from its answer how many to make at a time.
func (s *subscription) fetch(size int) {
	ms, err := s.b.receive(s.ctx, s.q, size, s.lease, s.b.o.PollWait)
	if isMissing(err) {
		err = s.restore()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polling--
	s.asked -= size
	close(s.changed)
	s.changed = make(chan struct{})
	s.failed = nil
	switch {
	case err != nil:
		s.receivers = 1
		s.failed = fmt.Errorf("sqspubsub: receive: %w", err)
	case len(ms) == size && len(s.buffer) == 0: // there is more, and what came before was taken at once
		s.receivers = min(s.receivers+1, s.b.o.Requests)
	case len(ms) == 0:
		s.receivers = max(s.receivers-1, 1)
	}
	until := time.Now().Add(min(s.lease/2, keepTime))
	for _, m := range ms {
		s.buffer = append(s.buffer, kept{delivery(m), until})
	}
	if time.Since(s.checked) >= s.b.checkEvery && !s.ended {
		s.checked = time.Now()
		s.requests.Go(s.check)
	}
	if len(s.buffer) > 0 && !s.sweeping {
		s.sweeping = true
		s.requests.Go(s.sweep)
	}
}

// sweep gives back what nobody receives, for as long as there is anything.
func (s *subscription) sweep() {
	for {
		s.mu.Lock()
		s.dropStale()
		if len(s.buffer) == 0 {
			s.sweeping = false
			s.mu.Unlock()
			return
		}
		t := time.NewTimer(time.Until(s.buffer[0].until))
		s.mu.Unlock()
		select {
		case <-t.C:
		case <-s.closed: // which gives back the rest
			t.Stop()
			return
		}
	}
}

// dropStale gives back what has waited here for too long; s.mu is held.
func (s *subscription) dropStale() {
	n, now := 0, time.Now()
	for n < len(s.buffer) && !now.Before(s.buffer[n].until) {
		n++
	}
	if n == 0 || s.ended {
		return
	}
	stale := s.takeKept(n)
	// Those that this fails for come back when their leases end.
	s.requests.Go(func() { _ = s.Release(s.ctx, stale, 0) })
}

// answerTimeout is how long an answer may take beyond what the service was asked to wait: a connection that died without
// a word would never end otherwise.
const answerTimeout = 30 * time.Second

// receive makes one request for at most ten messages, which are hidden for lease.
func (b *Broker) receive(ctx context.Context, q queue, n int, lease, wait time.Duration) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+answerTimeout)
	defer cancel()
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
