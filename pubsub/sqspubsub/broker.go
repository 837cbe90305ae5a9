package sqspubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// Options configures a [Broker]. The zero value is ready.
type Options struct {
	// FIFO says which topics are FIFO topics, whose subscriptions are FIFO queues. It has to say the same of a topic in
	// all processes. Nil means that none is.
	FIFO func(topic string) bool
	// FilterPolicy returns the filter policy, in JSON, with which a missing SNS subscription is created, and which one
	// that exists has to have. Empty means none, which is not held against one that exists. Nil means none for all.
	FilterPolicy func(topic, name string) string
	// MaxReceiveCount is the receive count at which the queue of a standard topic moves a message to its dead-letter
	// queue by itself: a safety net, which is to be well above pubsub's Retry.MaxAttempts. A queue that exists may do
	// without a redrive policy; one that it has must say the same. Zero means 1000, which is the most that SQS takes;
	// negative means no safety net.
	MaxReceiveCount int
	// PollWait is how long one request waits for messages, in whole seconds, rounded up. Close waits for the request
	// under way as well. Zero means 5s; SQS takes at most 20s; negative is an error.
	PollWait time.Duration
	// Requests bounds how many requests one call of Publish, Ack, Release or Extend makes at a time, and how many a
	// subscription has waiting for messages: one, and one more each time that there was more than could be asked for. It
	// is best no more than the HTTP client keeps open connections to a host, which is 10 for the SDK's own. Zero means 8,
	// negative means 1.
	Requests int
}

// Broker publishes to SNS and subscribes to SQS queues behind it. It implements driver.Broker and is safe for
// concurrent use.
type Broker struct {
	sqs *sqs.Client
	sns *sns.Client
	o   Options
	err error // what is wrong with the options
	// checkEvery is how often a subscription looks whether somebody deleted what it needs.
	checkEvery time.Duration

	mu        sync.Mutex
	topics    map[string]topic     // known to exist
	browsings map[string]*browsing // by topic
}

// New returns a broker that uses the caller's clients: queues for subscriptions, topics to publish. Endpoint, region,
// credentials and retries are theirs. Nil o means defaults.
func New(queues *sqs.Client, topics *sns.Client, o *Options) *Broker {
	b := &Broker{
		sqs: queues, sns: topics, checkEvery: time.Minute,
		topics: make(map[string]topic), browsings: make(map[string]*browsing),
	}
	if o != nil {
		b.o = *o
	}
	b.o.Requests = max(cmp.Or(b.o.Requests, 8), 1)
	b.o.PollWait = cmp.Or(b.o.PollWait, 5*time.Second)
	b.o.MaxReceiveCount = cmp.Or(b.o.MaxReceiveCount, 1000)
	switch {
	case b.o.PollWait < 0, b.o.PollWait > 20*time.Second:
		b.err = fmt.Errorf("option PollWait is %v, want 0 to 20s", b.o.PollWait)
	case b.o.MaxReceiveCount > 1000:
		b.err = fmt.Errorf("option MaxReceiveCount is %d, want at most 1000", b.o.MaxReceiveCount)
	}
	if b.err != nil {
		b.err = permanentError{fmt.Errorf("sqspubsub: %w", b.err)}
	}
	return b
}

// System returns "aws_sqs", the messaging.system of its spans.
func (b *Broker) System() string { return "aws_sqs" }

// pingTimeout bounds Ping where the context does not.
const pingTimeout = 5 * time.Second

// Ping returns nil when SQS answers now. A queue that need not exist is asked for, and a refusal is an answer too. It
// implements driver.Pinger.
func (b *Broker) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := b.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("mainstay-ping")})
	if isMissing(err) || coded(err, "AccessDenied") || coded(err, "AccessDeniedException") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sqspubsub: ping: %w", err)
	}
	return nil
}

// Declare creates the topics that are missing. It implements driver.Declarer.
func (b *Broker) Declare(ctx context.Context, topics []string) error {
	for _, t := range topics {
		if _, err := b.ensureTopic(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// isMissing reports whether err says that a queue does not exist.
func isMissing(err error) bool {
	_, ok := errors.AsType[*types.QueueDoesNotExist](err)
	return ok
}

// coded reports whether a service answered with an error of that code.
func coded(err error, code string) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && e.ErrorCode() == code
}

// permanentError marks what another try would only repeat.
type permanentError struct{ error }

func (e permanentError) Unwrap() error   { return e.error }
func (e permanentError) Retryable() bool { return false }
