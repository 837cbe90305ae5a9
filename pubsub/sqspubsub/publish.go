package sqspubsub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// maxBatch is how many messages a request may carry, of either service.
const maxBatch = 10

// Publish stores ms in topic's SNS topic, for every queue that is subscribed to it. It implements driver.Broker. What is
// too large is left out; once something else fails, what follows is not sent.
func (b *Broker) Publish(ctx context.Context, topic string, ms []driver.Message) error {
	t, err := b.ensureTopic(ctx, topic)
	if err != nil {
		return err
	}
	return publish(ctx, ms, t.limit, t.fifo, func(ctx context.Context, part []*outgoing) (map[int]refusal, error) {
		refused, err := b.toTopic(ctx, t, part)
		if coded(err, "NotFound") {
			b.forgetTopic(topic) // somebody deleted it: the next call creates it
		}
		return refused, err
	})
}

// Redeliver stores ms in the queue of one subscription. A standard queue keeps a delay of up to 15 minutes by itself, a
// FIFO queue none. It implements driver.Redeliverer.
func (b *Broker) Redeliver(
	ctx context.Context, topic, name string, ms []driver.Message, delay time.Duration,
) error {
	if b.err != nil {
		return b.err
	}
	fifo := b.fifo(topic)
	plain, err := serviceName("queue", topic+"@"+name, fifo, maxQueueName)
	if err != nil {
		return err
	}
	q, _, err := b.findQueue(ctx, plain, fifo)
	if isMissing(err) {
		return permanentError{err}
	}
	if err != nil {
		return err
	}
	return publish(ctx, ms, q.limit, fifo, func(ctx context.Context, part []*outgoing) (map[int]refusal, error) {
		return b.toQueue(ctx, q, part, delay)
	})
}

// refusal is why a service did not take one message of a batch.
type refusal struct {
	err    error
	sender bool // the message is to blame
}

// send sends one batch and returns what was refused of it, by position, or why all of it was.
type send func(ctx context.Context, part []*outgoing) (map[int]refusal, error)

func publish(ctx context.Context, ms []driver.Message, limit int, fifo bool, do send) error {
	failed := make(map[int]error)
	var fitting []*outgoing
	for i, m := range ms {
		if o := encode(i, m); o.bytes > limit {
			failed[i] = &driver.TooLargeError{Bytes: o.bytes, Limit: limit}
		} else {
			fitting = append(fitting, o)
		}
	}
	var broken error
	stored := false // or may be
	for _, part := range batches(fitting, limit, fifo) {
		if broken == nil {
			var maybe bool
			maybe, broken = sendOne(ctx, part, do, failed)
			stored = stored || maybe
			continue
		}
		for _, o := range part {
			failed[o.index] = broken
		}
	}
	return result(len(ms), failed, broken, stored)
}

// sendOne sends a batch, and what the service refused through no fault of the message once more.
func sendOne(ctx context.Context, part []*outgoing, do send, failed map[int]error) (stored bool, broken error) {
	for try := range 2 {
		refused, err := do(ctx, part)
		if err != nil {
			for _, o := range part {
				failed[o.index] = err
			}
			return stored || !refusedWhole(err), err
		}
		stored = stored || len(refused) < len(part)
		var again []*outgoing
		for i, o := range part {
			r, no := refused[i]
			switch {
			case no && !r.sender && try == 0:
				again = append(again, o)
			case no:
				failed[o.index] = r.err
				broken = r.err
			}
		}
		if part = again; len(part) == 0 {
			break
		}
	}
	return stored, broken
}

// refusedWhole reports whether err is an answer that nothing of a request was stored.
func refusedWhole(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && e.ErrorFault() == smithy.FaultClient
}

// batches splits messages by count and bytes. On a FIFO queue a batch has one message of a key at most, so that one
// that is refused is not overtaken by its successors.
func batches(all []*outgoing, limit int, fifo bool) [][]*outgoing {
	var parts [][]*outgoing
	var part []*outgoing
	bytes, keys := 0, map[string]bool{}
	for _, o := range all {
		if len(part) == maxBatch || bytes+o.bytes > limit && len(part) > 0 || fifo && o.key != "" && keys[o.key] {
			parts, part, bytes = append(parts, part), nil, 0
			clear(keys)
		}
		part = append(part, o)
		bytes += o.bytes
		keys[o.key] = true
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return parts
}

func result(n int, failed map[int]error, broken error, stored bool) error {
	if len(failed) == 0 {
		return nil
	}
	e := &driver.PublishError{Err: broken} // what another try may mend comes before what it will not
	for i := range n {
		if err, ok := failed[i]; ok {
			e.Indexes = append(e.Indexes, i)
			if e.Err == nil {
				e.Err = err
			}
		}
	}
	if !stored {
		return fmt.Errorf("sqspubsub: %w", e.Err)
	}
	return e
}

// group is what orders a message, or makes its queue fair: its key, as far as the services take it.
func group(key string) string { return legalID(key) }

// legalID returns s, or its hash where it is longer than 128 characters or not of letters, digits and punctuation.
func legalID(s string) string {
	if len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// ids returns a message's group and deduplication ID, nil for none.
func ids(o *outgoing, fifo, fresh bool) (groupID, dedup *string) {
	if !fifo {
		if o.key != "" {
			groupID = aws.String(group(o.key))
		}
		return groupID, nil
	}
	id := legalID(o.id)
	if id == "" || fresh {
		id = rand.Text()
	}
	g := group(o.key)
	if g == "" {
		g = id // a group of its own: it waits for nothing
	}
	return &g, &id
}

func (b *Broker) toTopic(ctx context.Context, t topic, part []*outgoing) (map[int]refusal, error) {
	entries := make([]snstypes.PublishBatchRequestEntry, len(part))
	for i, o := range part {
		attrs := make(map[string]snstypes.MessageAttributeValue, len(o.attributes))
		for _, a := range o.attributes {
			attrs[a.Name] = snstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(a.Value)}
		}
		entries[i] = snstypes.PublishBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), Message: aws.String(o.body), MessageAttributes: attrs,
		}
		entries[i].MessageGroupId, entries[i].MessageDeduplicationId = ids(o, t.fifo, false)
	}
	out, err := b.sns.PublishBatch(ctx, &sns.PublishBatchInput{
		TopicArn: aws.String(t.arn), PublishBatchRequestEntries: entries,
	})
	if err != nil {
		return nil, err
	}
	refused := make(map[int]refusal)
	for _, f := range out.Failed {
		note(refused, len(part), f.Id, f.Code, f.Message, f.SenderFault)
	}
	return refused, nil
}

func (b *Broker) toQueue(
	ctx context.Context, q queue, part []*outgoing, delay time.Duration,
) (map[int]refusal, error) {
	entries := make([]types.SendMessageBatchRequestEntry, len(part))
	for i, o := range part {
		attrs := make(map[string]types.MessageAttributeValue, len(o.attributes))
		for _, a := range o.attributes {
			attrs[a.Name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(a.Value)}
		}
		entries[i] = types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(o.body), MessageAttributes: attrs,
		}
		entries[i].MessageGroupId, entries[i].MessageDeduplicationId = ids(o, q.fifo, true)
		if !q.fifo {
			entries[i].DelaySeconds = wholeSeconds(delay, maxDelay)
		}
	}
	out, err := b.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: q.url, Entries: entries})
	if err != nil {
		return nil, err
	}
	refused := make(map[int]refusal)
	for _, f := range out.Failed {
		note(refused, len(part), f.Id, f.Code, f.Message, f.SenderFault)
	}
	return refused, nil
}

// note enters what a service said of one of n entries; an entry that it does not name, every one of them.
func note(refused map[int]refusal, n int, id, code, message *string, sender bool) {
	r := refusal{fmt.Errorf("%s: %s", aws.ToString(code), aws.ToString(message)), sender}
	if i, err := strconv.Atoi(aws.ToString(id)); err == nil && i >= 0 && i < n {
		refused[i] = r
		return
	}
	for i := range n {
		refused[i] = r
	}
}

// maxDelay is how long SQS keeps back a message that is sent.
const maxDelay = 15 * time.Minute

// wholeSeconds rounds d up, to most.
func wholeSeconds(d, most time.Duration) int32 {
	d = min(max(d, 0), most)
	return int32((d + time.Second - 1) / time.Second) //nolint:gosec // at most most
}
