package sqspubsub

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// queue is an SQS queue that exists.
type queue struct {
	name  string
	url   *string
	fifo  bool
	limit int // bytes of a message
	// subscription is the ARN of what a topic sends to it by; "" where that is not known.
	subscription string
}

// retention is how long queues that are created keep messages, in seconds: the 14 days that SQS keeps them at most.
const retention = "1209600"

// findQueue returns the queue called name; an error that isMissing where there is none.
func (b *Broker) findQueue(ctx context.Context, name string, fifo bool) (queue, map[string]string, error) {
	at, err := b.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return queue{}, nil, fmt.Errorf("sqspubsub: queue %q: %w", name, err)
	}
	out, err := b.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: at.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return queue{}, nil, fmt.Errorf("sqspubsub: queue %q: %w", name, err)
	}
	q := queue{name: name, url: at.QueueUrl, fifo: fifo, limit: 1 << 20}
	if n, err := strconv.Atoi(out.Attributes["MaximumMessageSize"]); err == nil {
		q.limit = n
	}
	return q, out.Attributes, nil
}

// ensureQueue finds or creates the queue called name and subscribes it to t. A queue that exists is left as it is, and
// refused where t may not send to it.
func (b *Broker) ensureQueue(
	ctx context.Context, t topic, name string, fifo bool, attributes map[string]string, filter string,
) (queue, error) {
	q, has, err := b.findQueue(ctx, name, fifo)
	switch {
	case isMissing(err):
		q, err = b.createQueue(ctx, t, name, fifo, attributes)
	case err == nil && !lets(has["Policy"], t.arn):
		err = permanentError{fmt.Errorf("sqspubsub: queue %q: its Policy does not let topic %q send to it", name, t.arn)}
	case err == nil:
		err = checkRedrive(q, has, attributes["RedrivePolicy"])
	}
	if err != nil {
		return q, err
	}
	q.subscription, err = b.connect(ctx, t, q, filter)
	return q, err
}

// checkRedrive names a redrive policy that is not as wanted, in JSON; "" wants none.
func checkRedrive(q queue, has map[string]string, want string) error {
	if got := has["RedrivePolicy"]; got != "" && redriveOf(got) != redriveOf(want) {
		return permanentError{fmt.Errorf("sqspubsub: queue %q: its RedrivePolicy is %s, want %s", q.name, got, cmp.Or(want, "none"))}
	}
	return nil
}

// redrivePolicy says where a queue moves what was received too often. The count may be a number or a string.
type redrivePolicy struct{ target, count string }

func redriveOf(text string) redrivePolicy {
	var p struct {
		DeadLetterTargetArn string `json:"deadLetterTargetArn"`
		MaxReceiveCount     any    `json:"maxReceiveCount"`
	}
	_ = json.Unmarshal([]byte(text), &p) // what is no policy is none
	return redrivePolicy{p.DeadLetterTargetArn, fmt.Sprint(p.MaxReceiveCount)}
}

func (b *Broker) createQueue(
	ctx context.Context, t topic, name string, fifo bool, attributes map[string]string,
) (queue, error) {
	attrs := map[string]string{"MessageRetentionPeriod": retention, "Policy": policy(t.queueARN(name), t.arn)}
	maps.Copy(attrs, attributes)
	if fifo {
		attrs["FifoQueue"] = "true"
	}
	_, err := b.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attrs})
	// One that another process made meanwhile is as good.
	if err != nil && !coded(err, "QueueNameExists") && !coded(err, "QueueAlreadyExists") {
		return queue{}, fmt.Errorf("sqspubsub: queue %q: %w", name, err)
	}
	q, _, err := b.findQueue(ctx, name, fifo)
	return q, err
}

// connect subscribes q to t, with raw delivery, and verifies a subscription that exists.
func (b *Broker) connect(ctx context.Context, t topic, q queue, filter string) (arn string, err error) {
	attrs := map[string]string{"RawMessageDelivery": "true"}
	if filter != "" {
		attrs["FilterPolicy"] = filter
	}
	sub, err := b.sns.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: aws.String(t.arn), Protocol: aws.String("sqs"), Endpoint: aws.String(t.queueARN(q.name)),
		Attributes: attrs, ReturnSubscriptionArn: true,
	})
	if err != nil {
		err = fmt.Errorf("sqspubsub: subscription of queue %q to topic %q: %w", q.name, t.arn, err)
		if strings.Contains(err.Error(), "already exists with different attributes") {
			return "", permanentError{err}
		}
		return "", err
	}
	has, err := b.sns.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: sub.SubscriptionArn})
	if err != nil {
		return "", fmt.Errorf("sqspubsub: subscription of queue %q: %w", q.name, err)
	}
	for name, want := range attrs {
		if got := has.Attributes[name]; !sameJSON(got, want) {
			return "", permanentError{fmt.Errorf("sqspubsub: subscription %q: its %s is %q, want %q",
				aws.ToString(sub.SubscriptionArn), name, got, want)}
		}
	}
	return aws.ToString(sub.SubscriptionArn), nil
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// policy lets exactly one topic send to a queue.
func policy(queueARN, topicARN string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},`+
		`"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, queueARN, topicARN)
}

// lets reports whether a policy allows the topic something. What else it says is the service's to judge: what is found
// here is a policy that is missing, or another topic's.
func lets(policy, topicARN string) bool {
	var p struct {
		Statement []struct {
			Effect    string
			Condition map[string]map[string]any // a string, or a list of them
		}
	}
	if json.Unmarshal([]byte(policy), &p) != nil {
		return false
	}
	for _, s := range p.Statement {
		if s.Effect == "Allow" && (len(s.Condition) == 0 || strings.Contains(fmt.Sprint(s.Condition), topicARN) ||
			strings.Contains(fmt.Sprint(s.Condition), "*")) {
			return true
		}
	}
	return false
}
