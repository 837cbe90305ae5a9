package sqspubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Ack deletes ds. Package pubsub has one Ack under way at a time and collects the rest, so that requests carry ten
// where there are as many. It implements driver.Subscription.
func (s *subscription) Ack(ctx context.Context, ds []*driver.Delivery) error {
	return s.b.deleteAll(ctx, s.q, receiptsOf(ds))
}

// Release makes ds visible again once delay, in whole seconds rounded up, has passed. SQS hides a message for 12 hours
// from its receipt at most: a delay beyond half an hour less is cut to that. It implements driver.Subscription.
func (s *subscription) Release(ctx context.Context, ds []*driver.Delivery, delay time.Duration) error {
	return s.b.hideAll(ctx, s.q, "release", receiptsOf(ds), wholeSeconds(delay, maxVisibility-30*time.Minute))
}

// Extend hides ds for the length of the lease from now. It fails once SQS would hide a message for more than 12 hours
// from its receipt. It implements driver.Subscription.
func (s *subscription) Extend(ctx context.Context, ds []*driver.Delivery) error {
	return s.b.hideAll(ctx, s.q, "extend", receiptsOf(ds), wholeSeconds(s.lease, maxVisibility))
}

func receiptsOf(ds []*driver.Delivery) []string {
	receipts := make([]string, len(ds))
	for i, d := range ds {
		receipts[i] = d.Handle.(string)
	}
	return receipts
}

func (b *Broker) deleteAll(ctx context.Context, q queue, receipts []string) error {
	return b.settle(ctx, "delete", receipts, func(ctx context.Context, part []string) ([]types.BatchResultErrorEntry, error) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(part))
		for i, r := range part {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(r)}
		}
		out, err := b.sqs.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: q.url, Entries: entries})
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// hideAll makes what was received visible to others in so many seconds from now.
func (b *Broker) hideAll(ctx context.Context, q queue, what string, receipts []string, seconds int32) error {
	return b.settle(ctx, what, receipts, func(ctx context.Context, part []string) ([]types.BatchResultErrorEntry, error) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(part))
		for i, r := range part {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(r), VisibilityTimeout: seconds,
			}
		}
		out, err := b.sqs.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
			QueueUrl: q.url, Entries: entries,
		})
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// settle calls do with at most ten receipts at a time, and once more with those that failed through no fault of theirs.
func (b *Broker) settle(ctx context.Context, what string, receipts []string, do settling) error {
	parts := slices.Collect(slices.Chunk(receipts, maxBatch))
	errs := make([]error, len(parts))
	inParallel(len(parts), b.o.Requests, func(i int) {
		if err := settleTen(ctx, parts[i], do); err != nil {
			errs[i] = fmt.Errorf("sqspubsub: %s: %w", what, err)
		}
	})
	return errors.Join(errs...)
}

// settling makes one request, and returns what the service did not do of it.
type settling func(ctx context.Context, part []string) ([]types.BatchResultErrorEntry, error)

func settleTen(ctx context.Context, part []string, do settling) error {
	failed, err := do(ctx, part)
	if isMissing(err) {
		return nil // the messages are gone with their queue
	}
	if err != nil {
		return err
	}
	again, all := sift(part, failed, false)
	if len(again) == 0 {
		return all
	}
	if failed, err = do(ctx, again); err == nil {
		_, err = sift(again, failed, true)
	}
	return errors.Join(all, err)
}

// sift returns what to try again of what failed, and why the rest did. A lease that was lost is no failure.
func sift(part []string, failed []types.BatchResultErrorEntry, last bool) ([]string, error) {
	var again []string
	var err error
	for _, f := range failed {
		i, noNumber := strconv.Atoi(aws.ToString(f.Id))
		switch {
		case lost(f):
		case !f.SenderFault && !last && noNumber == nil && 0 <= i && i < len(part):
			again = append(again, part[i])
		default:
			err = errors.Join(err, fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message)))
		}
	}
	return again, err
}

// lost reports whether a message is in other hands, or gone. SQS answers the limit of 12 hours by the same code.
func lost(f types.BatchResultErrorEntry) bool {
	code, text := aws.ToString(f.Code), aws.ToString(f.Message)
	switch {
	case strings.Contains(text, "Total VisibilityTimeout"):
		return false
	case strings.Contains(code, "ReceiptHandleIsInvalid"), strings.Contains(code, "MessageNotInflight"):
		return true
	}
	return strings.Contains(code, "InvalidParameterValue") &&
		(strings.Contains(text, "does not exist or is not available") || strings.Contains(text, "has expired"))
}
