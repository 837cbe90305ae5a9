package sqspubsub_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub/sqstest"
)

func deleteQueue(t *testing.T, queues *sqs.Client, name string) {
	t.Helper()
	at, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queues.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: at.QueueUrl}); err != nil {
		t.Fatal(err)
	}
}

func deleteTopic(t *testing.T, topics *sns.Client, name string) {
	t.Helper()
	arn := "arn:aws:sns:" + sqstest.Region + ":" + sqstest.Account + ":" + name
	if _, err := topics.DeleteTopic(t.Context(), &sns.DeleteTopicInput{TopicArn: aws.String(arn)}); err != nil {
		t.Fatal(err)
	}
}

func unsubscribe(t *testing.T, topics *sns.Client, topic string) {
	t.Helper()
	arn := "arn:aws:sns:" + sqstest.Region + ":" + sqstest.Account + ":" + topic
	out, err := topics.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(arn)})
	if err != nil || len(out.Subscriptions) != 1 {
		t.Fatalf("%d subscriptions of %q, %v, want one", len(out.Subscriptions), topic, err)
	}
	in := &sns.UnsubscribeInput{SubscriptionArn: out.Subscriptions[0].SubscriptionArn}
	if _, err := topics.Unsubscribe(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsDeletedIsMadeAgain(t *testing.T) {
	for what, remove := range map[string]func(*testing.T, *sqs.Client, *sns.Client){
		"queue":          func(t *testing.T, q *sqs.Client, _ *sns.Client) { deleteQueue(t, q, "orders___stock") },
		"topic":          func(t *testing.T, _ *sqs.Client, s *sns.Client) { deleteTopic(t, s, "orders") },
		"subscription":   func(t *testing.T, _ *sqs.Client, s *sns.Client) { unsubscribe(t, s, "orders") },
		"grave":          func(t *testing.T, q *sqs.Client, _ *sns.Client) { deleteQueue(t, q, graveQueue) },
		"grave's topic":  func(t *testing.T, _ *sqs.Client, s *sns.Client) { deleteTopic(t, s, graveQueue) },
		"grave's source": func(t *testing.T, _ *sqs.Client, s *sns.Client) { unsubscribe(t, s, graveQueue) },
	} {
		t.Run(what, func(t *testing.T) {
			queues, topics := clients(startServer(t), newWire(t))
			b := sqspubsub.New(queues, topics, &sqspubsub.Options{PollWait: time.Second})
			b.CheckEvery(time.Millisecond)
			s := open(t, b, driver.SubscribeOptions{Topic: "orders", Name: "stock", DeadLetter: graveTopic})
			publisher := sqspubsub.New(queues, topics, nil)
			for _, topic := range []string{"orders", graveTopic} {
				if err := publisher.Publish(t.Context(), topic, []driver.Message{{ID: "0", Data: []byte("0")}}); err != nil {
					t.Fatal(err)
				}
			}
			before, err := s.Receive(t.Context(), 1)
			if err != nil || len(before) != 1 {
				t.Fatalf("Receive = %v, %v, want a message", before, err)
			}
			remove(t, queues, topics)
			if err := s.Ack(t.Context(), before); err != nil {
				t.Errorf("Ack of what may be gone = %v, want nil", err)
			}
			received := make(chan struct{})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			go func() {
				defer close(received)
				for {
					ds, err := s.Receive(ctx, 10)
					if err != nil {
						t.Errorf("Receive = %v, want a message at last", err)
						return
					}
					for _, d := range ds {
						if strings.HasPrefix(string(d.Data), "live") {
							return
						}
					}
				}
			}()
			// What is published before all is there again gets lost: nobody is subscribed.
			for i := 0; ; i++ {
				m := driver.Message{ID: strconv.Itoa(i), Data: []byte("live " + strconv.Itoa(i))}
				_ = publisher.Publish(ctx, "orders", []driver.Message{m})
				_ = publisher.Publish(ctx, graveTopic, []driver.Message{m})
				select {
				case <-received:
				case <-time.After(50 * time.Millisecond):
					continue
				}
				break
			}
			for strings.HasPrefix(what, "grave") && ctx.Err() == nil {
				ds, _, err := b.Browse(ctx, graveTopic, "", 10)
				if err == nil && slices.ContainsFunc(ds, func(d *driver.Delivery) bool { return string(d.Data) != "0" }) {
					return
				}
				_ = publisher.Publish(ctx, graveTopic, []driver.Message{{ID: "z", Data: []byte("z")}})
			}
			if ctx.Err() != nil {
				t.Error("no letter arrives any more")
			}
		})
	}
}

// A queue that cannot be made again is named, and made once it can.
func TestAQueueThatCannotBeMadeAgainIsNamed(t *testing.T) {
	queues, topics := clients(startServer(t), newWire(t))
	b := sqspubsub.New(queues, topics, &sqspubsub.Options{PollWait: time.Second})
	s := open(t, b, driver.SubscribeOptions{Topic: "orders", Name: "stock", DeadLetter: graveTopic})
	deleteQueue(t, queues, "orders___stock")
	if _, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("orders___stock")}); err != nil {
		t.Fatal(err)
	}
	deleteQueue(t, queues, graveQueue)
	if _, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(graveQueue)}); err != nil {
		t.Fatal(err)
	}
	deleteQueue(t, queues, "orders___stock")
	if _, err := s.Receive(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "was deleted") ||
		!strings.Contains(err.Error(), "Policy") {
		t.Errorf("Receive = %v, want that the queue was deleted, and the Policy that is in the way", err)
	}
	deleteQueue(t, queues, graveQueue)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := s.Receive(ctx, 1); err != context.DeadlineExceeded {
		t.Errorf("Receive = %v, want nothing and no failure", err)
	}
}
