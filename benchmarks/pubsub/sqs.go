package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub/sqstest"
)

const (
	// sqsRequests are how many requests of each kind every side makes at a time.
	sqsRequests = 8
	// sqsBatch is how many messages a request carries.
	sqsBatch = 10
)

func sqsContests() []contest {
	kit := way{"sqspubsub, observed", kitOnSQS}
	return []contest{
		{kit: kit, peer: way{"SDK, a batching loop, the same messages", loopOnSQS(true)}, ratio: 1 / 0.9},
		{kit: kit, peer: way{"SDK, a batching loop, bare bodies to a queue", loopOnSQS(false)}},
	}
}

// startSQS starts both services in this process, and returns clients of theirs.
func startSQS() (*sqstest.Server, *sqs.Client, *sns.Client, error) {
	server, err := sqstest.NewServer()
	if err != nil {
		return nil, nil, nil, err
	}
	config := aws.Config{
		Region: sqstest.Region, BaseEndpoint: aws.String(server.URL()),
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "benchmark", SecretAccessKey: "benchmark"}, nil
		})),
	}
	return server, sqs.NewFromConfig(config), sns.NewFromConfig(config), nil
}

func kitOnSQS(ctx context.Context, handled func()) (line, error) {
	server, queues, topics, err := startSQS()
	if err != nil {
		return line{}, err
	}
	b := sqspubsub.New(queues, topics, &sqspubsub.Options{PollWait: time.Second, Requests: sqsRequests})
	l, err := kitLineWith(ctx, b, setting{
		tp: sampling(), batch: brokerBatch, data: payload(),
		// As many messages in hand as the loop has.
		subscription: &pubsub.SubscriptionOptions{Concurrency: sqsRequests * sqsBatch},
	}, handled, server.Close)
	if err != nil {
		server.Close()
	}
	return l, err
}

// loop is what one writes by hand.
type loop struct {
	queues *sqs.Client
	topics *sns.Client
	queue  *string
	topic  *string // nil where messages are sent to the queue
}

func loopOnSQS(fanOut bool) func(context.Context, func()) (line, error) {
	return func(ctx context.Context, handled func()) (line, error) {
		server, queues, topics, err := startSQS()
		if err != nil {
			return line{}, err
		}
		l := &loop{queues: queues, topics: topics}
		if err := l.prepare(ctx, fanOut); err != nil {
			server.Close()
			return line{}, fmt.Errorf("loop: %w", err)
		}
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for range sqsRequests {
			wg.Go(func() { l.consume(ctx, handled) })
		}
		return line{l.publish, func() {
			cancel()
			wg.Wait()
			server.Close()
		}}, nil
	}
}

func (l *loop) prepare(ctx context.Context, fanOut bool) error {
	arn := "arn:aws:sqs:" + sqstest.Region + ":" + sqstest.Account + ":" + topicName
	q, err := l.queues.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String(topicName),
		Attributes: map[string]string{
			"Policy": `{"Statement":[{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"` + arn + `"}]}`,
		},
	})
	if err != nil || !fanOut {
		l.queue = q.QueueUrl
		return err
	}
	t, err := l.topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(topicName)})
	if err != nil {
		return err
	}
	l.queue, l.topic = q.QueueUrl, t.TopicArn
	_, err = l.topics.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: t.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(arn),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	return err
}

// consume receives, handles and deletes.
func (l *loop) consume(ctx context.Context, handled func()) {
	for ctx.Err() == nil {
		out, err := l.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: l.queue, MaxNumberOfMessages: sqsBatch, WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"},
		})
		if err != nil || len(out.Messages) == 0 {
			continue
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: l.queue}
		for i, m := range out.Messages {
			handled()
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle,
			})
		}
		_, _ = l.queues.DeleteMessageBatch(ctx, in) // what is not deleted would be counted twice
	}
}

// publish has as many senders as there are receivers.
func (l *loop) publish(ctx context.Context, n int) error {
	parts := make(chan int)
	ended := make(chan error, sqsRequests)
	for range sqsRequests {
		go func() {
			var first error
			for size := range parts {
				if err := l.send(ctx, size); err != nil && first == nil {
					first = err
				}
			}
			ended <- first
		}()
	}
	for left := n; left > 0; left -= sqsBatch {
		parts <- min(left, sqsBatch)
	}
	close(parts)
	var first error
	for range sqsRequests {
		if err := <-ended; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (l *loop) send(ctx context.Context, n int) error {
	body := string(payload())
	if l.topic != nil {
		attrs := sqsEnvelope()
		in := &sns.PublishBatchInput{TopicArn: l.topic}
		for i := range n {
			in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, snstypes.PublishBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), Message: aws.String(body), MessageAttributes: attrs,
			})
		}
		out, err := l.topics.PublishBatch(ctx, in)
		if err == nil && len(out.Failed) > 0 {
			err = fmt.Errorf("%d messages failed", len(out.Failed))
		}
		return err
	}
	in := &sqs.SendMessageBatchInput{QueueUrl: l.queue}
	for i := range n {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body),
		})
	}
	out, err := l.queues.SendMessageBatch(ctx, in)
	if err == nil && len(out.Failed) > 0 {
		err = fmt.Errorf("%d messages failed", len(out.Failed))
	}
	return err
}

// sqsEnvelope has what the kit's messages have: they could not be traced, told apart or dated otherwise.
func sqsEnvelope() map[string]snstypes.MessageAttributeValue {
	attrs := make(map[string]snstypes.MessageAttributeValue)
	for name, value := range map[string]string{
		"ce-id": "01a2132b-63b8-7820-878d-fb899c950bd6", "ce-correlationid": "01a2132b-63b8-7820-878d-fb899c950bd6",
		"ce-source": "/benchmark", "ce-type": topicName, "ce-specversion": "1.0", "ce-time": "2026-11-25T14:45:40.408522989Z",
		"traceparent": "00-56fdb69bf3d96555308efb923384d562-9bfb30e57b16899b-00",
	} {
		attrs[name] = snstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
	}
	return attrs
}

// payload is text: other bodies travel as base64.
func payload() []byte {
	data := make([]byte, payloadSize)
	for i := range data {
		data[i] = 'x'
	}
	return data
}
