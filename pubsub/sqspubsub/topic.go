package sqspubsub

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

const (
	// defaultTopicBytes is the MaximumMessageSize of a topic that does not say (SNS API, CreateTopic).
	defaultTopicBytes = 262_144
	// maxTopicBytes is the most that SNS and SQS take: bodies that are no text grow by a third.
	maxTopicBytes = "1048576"
)

// topic is an SNS topic that exists.
type topic struct {
	arn   string
	fifo  bool
	limit int // bytes of a message, and of a batch
}

func (b *Broker) fifo(topic string) bool { return b.o.FIFO != nil && b.o.FIFO(topic) }

// ensureTopic finds or creates the topic called name.
func (b *Broker) ensureTopic(ctx context.Context, name string) (topic, error) {
	if b.err != nil {
		return topic{}, b.err
	}
	b.mu.Lock()
	t, ok := b.topics[name]
	b.mu.Unlock()
	if ok {
		return t, ctx.Err()
	}
	t, err := b.createTopic(ctx, name)
	if err != nil {
		return topic{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[name] = t
	return t, nil
}

func (b *Broker) createTopic(ctx context.Context, name string) (topic, error) {
	t := topic{fifo: b.fifo(name), limit: defaultTopicBytes}
	plain, err := serviceName("topic", name, t.fifo, maxTopicName)
	if err != nil {
		return t, err
	}
	in := &sns.CreateTopicInput{
		Name: aws.String(plain), Attributes: map[string]string{"MaximumMessageSize": maxTopicBytes},
	}
	if t.fifo {
		in.Attributes["FifoTopic"] = "true"
	}
	out, err := b.sns.CreateTopic(ctx, in)
	if err != nil && strings.Contains(err.Error(), "already exists with different attributes") {
		delete(in.Attributes, "MaximumMessageSize") // it is used as it is
		out, err = b.sns.CreateTopic(ctx, in)
	}
	if err != nil {
		return t, fmt.Errorf("sqspubsub: topic %q: %w", plain, err)
	}
	t.arn = aws.ToString(out.TopicArn)
	has, err := b.sns.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: out.TopicArn})
	if err != nil {
		return t, fmt.Errorf("sqspubsub: topic %q: %w", plain, err)
	}
	if n, err := strconv.Atoi(has.Attributes["MaximumMessageSize"]); err == nil {
		t.limit = n
	}
	return t, nil
}

func (b *Broker) forgetTopic(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, name)
}

// queueARN is that of a queue beside the topic.
func (t topic) queueARN(name string) string {
	parts := strings.SplitN(t.arn, ":", 6) // arn:partition:sns:region:account:name
	if len(parts) < 6 {
		return name
	}
	parts[2], parts[5] = "sqs", name
	return strings.Join(parts, ":")
}
