package sqspubsub_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub/sqstest"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestWhatExistsAndDiffersIsNamed(t *testing.T) {
	queues, topics := clients(startServer(t), newWire(t))
	b := sqspubsub.New(queues, topics, nil)
	if err := b.Declare(t.Context(), []string{"orders"}); err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:sns:" + sqstest.Region + ":" + sqstest.Account + ":orders"
	for _, name := range []string{"closed", "wrapped"} {
		in := &sqs.CreateQueueInput{QueueName: aws.String("orders___" + name)}
		if name == "wrapped" {
			in.Attributes = map[string]string{"Policy": `{"Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`}
		}
		if _, err := queues.CreateQueue(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		_, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{
			TopicArn: &arn, Protocol: aws.String("sqs"),
			Endpoint: aws.String("arn:aws:sqs:" + sqstest.Region + ":" + sqstest.Account + ":orders___" + name),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"closed": "Policy", "wrapped": "different attributes"} {
		_, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders", Name: name, Lease: time.Minute, MaxInFlight: 1, DeadLetter: "orders.dead",
		})
		if err == nil || !strings.Contains(err.Error(), want) || !resilience.IsPermanent(err) {
			t.Errorf("Subscribe(%q) = %v, want a permanent error that says %q", name, err, want)
		}
	}
}
