package sqspubsub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func (b *Broker) toTopic(ctx context.Context, t topic, part []*outgoing) (map[int]refusal, error) {
	entries := make([]snstypes.PublishBatchRequestEntry, len(part))
	for i, o := range part {
		e := &entries[i]
		e.Id, e.Message = aws.String(strconv.Itoa(i)), aws.String(o.body)
		e.MessageGroupId, e.MessageDeduplicationId = ids(o, t.fifo, false)
		e.MessageAttributes = attributesOf(o, func(kind, value *string) snstypes.MessageAttributeValue {
			return snstypes.MessageAttributeValue{DataType: kind, StringValue: value}
		})
	}
	out, err := b.sns.PublishBatch(ctx, &sns.PublishBatchInput{
		TopicArn: aws.String(t.arn), PublishBatchRequestEntries: entries,
	})
	if err != nil {
		return nil, err
	}
	return refusals(len(part), out.Failed, func(f snstypes.BatchResultErrorEntry) (*string, refusal) {
		return f.Id, refused(f.Code, f.Message, f.SenderFault)
	}), nil
}

func (b *Broker) toQueue(
	ctx context.Context, q queue, part []*outgoing, delay time.Duration,
) (map[int]refusal, error) {
	entries := make([]types.SendMessageBatchRequestEntry, len(part))
	for i, o := range part {
		e := &entries[i]
		e.Id, e.MessageBody = aws.String(strconv.Itoa(i)), aws.String(o.body)
		e.MessageGroupId, e.MessageDeduplicationId = ids(o, q.fifo, true)
		e.MessageAttributes = attributesOf(o, func(kind, value *string) types.MessageAttributeValue {
			return types.MessageAttributeValue{DataType: kind, StringValue: value}
		})
		if !q.fifo {
			e.DelaySeconds = wholeSeconds(delay, maxDelay)
		}
	}
	out, err := b.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: q.url, Entries: entries})
	if err != nil {
		return nil, err
	}
	return refusals(len(part), out.Failed, func(f types.BatchResultErrorEntry) (*string, refusal) {
		return f.Id, refused(f.Code, f.Message, f.SenderFault)
	}), nil
}

// attributesOf writes attributes in a service's type.
func attributesOf[V any](o *outgoing, value func(kind, value *string) V) map[string]V {
	attrs, kind := make(map[string]V, len(o.attributes)), aws.String("String")
	for i := range o.attributes {
		attrs[o.attributes[i].Name] = value(kind, &o.attributes[i].Value)
	}
	return attrs
}

func refused(code, message *string, sender bool) refusal {
	return refusal{fmt.Errorf("%s: %s", aws.ToString(code), aws.ToString(message)), sender}
}

// refusals enters what a service said of n entries by their position. What it says of an entry that is none of them, it
// says of all.
func refusals[F any](n int, failed []F, read func(F) (id *string, r refusal)) map[int]refusal {
	if len(failed) == 0 {
		return nil
	}
	all := make(map[int]refusal)
	for _, f := range failed {
		id, r := read(f)
		if i, err := strconv.Atoi(aws.ToString(id)); err == nil && i >= 0 && i < n {
			all[i] = r
			continue
		}
		for i := range n {
			all[i] = r
		}
	}
	return all
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

// maxDelay is how long SQS keeps back a message that is sent.
const maxDelay = 15 * time.Minute

// wholeSeconds rounds d up, to most.
func wholeSeconds(d, most time.Duration) int32 {
	d = min(max(d, 0), most)
	return int32((d + time.Second - 1) / time.Second) //nolint:gosec // at most most
}
