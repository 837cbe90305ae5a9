package sqspubsub_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

// graveTopic is where the letters of these tests are, and its queue's name.
const graveTopic, graveQueue = "orders.dead-letter.stock", "orders_dead-letter_stock"

// bury makes n letters, and returns the broker, and the client that it uses for queues.
func bury(t *testing.T, url string, n int) (*sqspubsub.Broker, *sqs.Client) {
	t.Helper()
	queues, topics := clients(url, newWire(t))
	b := sqspubsub.New(queues, topics, nil)
	open(t, b, driver.SubscribeOptions{Topic: "orders", Name: "stock", DeadLetter: graveTopic})
	ms := make([]driver.Message, n)
	for i := range ms {
		ms[i] = driver.Message{ID: strconv.Itoa(i), Data: []byte(strconv.Itoa(i))}
	}
	if err := b.Publish(t.Context(), graveTopic, ms); err != nil {
		t.Fatal(err)
	}
	return b, queues
}

// open subscribes, and closes in the end.
func open(t *testing.T, b *sqspubsub.Broker, o driver.SubscribeOptions) driver.Subscription {
	t.Helper()
	if o.Lease == 0 {
		o.Lease = time.Minute
	}
	o.MaxInFlight = 100
	s, err := b.Subscribe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// page is one call of Browse.
func page(t *testing.T, b *sqspubsub.Broker, cursor string, n int) (ds []*driver.Delivery, next string) {
	t.Helper()
	ds, next, err := b.Browse(t.Context(), graveTopic, cursor, n)
	if err != nil {
		t.Fatalf("Browse(%q): %v", cursor, err)
	}
	return ds, next
}

func data(ds []*driver.Delivery) []string {
	var all []string
	for _, d := range ds {
		all = append(all, string(d.Data))
	}
	return all
}

func TestAWalkHidesWhatItShowsUntilItsEnd(t *testing.T) {
	url := startServer(t)
	b, queues := bury(t, url, 3)
	_, topics := clients(url, newWire(t))
	other := sqspubsub.New(queues, topics, nil) // as in another process
	ds, next := page(t, b, "", 2)
	if got := data(ds); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("the first page has %v, want 0 and 1", got)
	}
	if ds, _ := page(t, other, "", 10); !slices.Equal(data(ds), []string{"2"}) {
		t.Errorf("another walk has %v, want 2, which nobody has", data(ds))
	}
	if ds, _ = page(t, b, next, 2); len(ds) != 0 {
		t.Errorf("the second page has %v, want nothing: another has it", data(ds))
	}
	if ds, _ := page(t, other, "", 10); len(ds) != 3 {
		t.Errorf("after its end another walk has %v, want all three", data(ds))
	}
}

func TestAWalkThatWasLeftIsGivenBackToTheNextOfItsProcess(t *testing.T) {
	b, _ := bury(t, startServer(t), 3)
	for range 2 {
		if ds, _ := page(t, b, "", 2); !slices.Equal(data(ds), []string{"0", "1"}) {
			t.Errorf("the first page has %v, want 0 and 1 each time", data(ds))
		}
	}
}

// A letter that a second walk has received meanwhile has another receipt handle, and is removed all the same.
func TestRemoveKnowsTheLatestReceipt(t *testing.T) {
	b, _ := bury(t, startServer(t), 2)
	first, _ := page(t, b, "", 10)
	second, next := page(t, b, "", 10)
	if len(first) != 2 || len(second) != 2 {
		t.Fatalf("walks of %d and %d letters, want 2 and 2", len(first), len(second))
	}
	if err := b.Remove(t.Context(), graveTopic, first); err != nil {
		t.Fatal(err)
	}
	if ds, _ := page(t, b, next, 10); len(ds) != 0 {
		t.Errorf("at the end there are %v, want nothing", data(ds))
	}
	if ds, _ := page(t, b, "", 10); len(ds) != 0 {
		t.Errorf("left %v, want nothing", data(ds))
	}
}

// A long walk meets again what it has shown, since letters are hidden for a minute: here, because somebody shows them.
func TestAWalkShowsNothingTwiceAndEnds(t *testing.T) {
	b, queues := bury(t, startServer(t), 30)
	at, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(graveQueue)})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for cursor := ""; ; {
		ds, next := page(t, b, cursor, 10)
		if len(ds) == 0 {
			break
		}
		for _, d := range ds {
			seen[string(d.Data)]++
		}
		for part := range slices.Chunk(ds, 10) {
			in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: at.QueueUrl}
			for i, d := range part {
				in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
					Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(d.Handle.(string)),
				})
			}
			if _, err := queues.ChangeMessageVisibilityBatch(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		cursor = next
	}
	if len(seen) != 30 || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
		t.Errorf("shown %v, want each of 30 once", seen)
	}
}

func TestBrowseRefuses(t *testing.T) {
	b, queues := bury(t, startServer(t), 1)
	for _, cursor := range []string{"x", "1/1"} {
		_, _, err := b.Browse(t.Context(), graveTopic, cursor, 1)
		if !resilience.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), strconv.Quote(cursor)) {
			t.Errorf("Browse(%q) = %v, want a permanent error that names it", cursor, err)
		}
	}
	if err := b.Remove(t.Context(), graveTopic, []*driver.Delivery{{}}); !resilience.IsPermanent(err) {
		t.Errorf("Remove of a stranger = %v, want a permanent error", err)
	}
	_, oldest := page(t, b, "", 1)
	for range 16 {
		page(t, b, "", 1)
	}
	if _, _, err := b.Browse(t.Context(), graveTopic, oldest, 1); !resilience.IsPermanent(err) {
		t.Errorf("Browse of the 17th newest walk = %v, want a permanent error", err)
	}
	if ds, _, err := b.Browse(t.Context(), "unknown", "", 1); err != nil || len(ds) != 0 {
		t.Errorf("Browse(unknown) = %v, %v, want nothing", ds, err)
	}
	if err := b.Remove(t.Context(), "unknown", nil); err != nil {
		t.Errorf("Remove(unknown) = %v, want nil", err)
	}
	// A queue that moves what is received too often would lose what is looked at.
	at, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(graveQueue)})
	if err != nil {
		t.Fatal(err)
	}
	policy := `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:deeper","maxReceiveCount":3}`
	_, err = queues.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: at.QueueUrl, Attributes: map[string]string{"RedrivePolicy": policy},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Browse(t.Context(), graveTopic, "", 1)
	if !resilience.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), "RedrivePolicy") {
		t.Errorf("Browse = %v, want a permanent error about its RedrivePolicy", err)
	}
}
