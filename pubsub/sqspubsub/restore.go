package sqspubsub

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// restoreTimeout bounds a look at what a subscription needs, and its making.
const restoreTimeout = 30 * time.Second

// restore makes again what somebody deleted. Names are the same afterwards, and with them addresses.
func (s *subscription) restore() error {
	s.restoring.Lock()
	defer s.restoring.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, restoreTimeout)
	defer cancel()
	q, grave, err := s.reopen(ctx)
	if err != nil {
		return fmt.Errorf("queue %q was deleted: %w", s.q.name, err)
	}
	s.sources = []string{q.subscription, grave.subscription}
	return nil
}

// check restores what no request for messages would miss: the topics, their subscriptions, the queue of dead letters.
func (s *subscription) check() {
	if !s.lacks() {
		return
	}
	if err := s.restore(); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = fmt.Errorf("sqspubsub: %w", err)
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// lacks reports whether something is known to be gone.
func (s *subscription) lacks() bool {
	ctx, cancel := context.WithTimeout(s.ctx, restoreTimeout)
	defer cancel()
	s.restoring.Lock()
	sources := s.sources
	s.restoring.Unlock()
	for _, arn := range sources {
		_, err := s.b.sns.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: aws.String(arn)})
		if coded(err, "NotFound") {
			return true
		}
	}
	_, err := s.b.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(s.graveName)})
	return isMissing(err)
}
