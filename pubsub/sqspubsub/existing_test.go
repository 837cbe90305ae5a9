package sqspubsub_test

import (
	"fmt"
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

func TestARedrivePolicyThatExistsHasToSayTheSame(t *testing.T) {
	queues, topics := clients(startServer(t), newWire(t))
	const open = `{"Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`
	create := func(name string, attributes map[string]string) {
		t.Helper()
		in := &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes}
		if _, err := queues.CreateQueue(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"elsewhere", "orders_dead"} {
		create(name, map[string]string{"Policy": open})
	}
	to := func(queue, count string) string {
		return fmt.Sprintf(`{"maxReceiveCount":%s,"deadLetterTargetArn":"arn:aws:sqs:%s:%s:%s"}`,
			count, sqstest.Region, sqstest.Account, queue)
	}
	create("orders_dead2", map[string]string{"Policy": open, "RedrivePolicy": to("elsewhere", "9")})
	for _, tt := range []struct {
		name, policy string
		count        int // the option
		dead         string
		refused      bool
	}{
		{"none", "", 0, "orders.dead", false},
		{"same", to("orders_dead", "1000"), 0, "orders.dead", false},
		{"text", to("orders_dead", `"7"`), 7, "orders.dead", false},
		{"elsewhere", to("elsewhere", "1000"), 0, "orders.dead", true},
		{"impatient", to("orders_dead", "5"), 0, "orders.dead", true},
		{"unwanted", to("orders_dead", "1000"), -1, "orders.dead", true},
		{"deeper", "", 0, "orders.dead2", true},
	} {
		attributes := map[string]string{"Policy": open}
		if tt.policy != "" {
			attributes["RedrivePolicy"] = tt.policy
		}
		create("orders___"+tt.name, attributes)
		b := sqspubsub.New(queues, topics, &sqspubsub.Options{MaxReceiveCount: tt.count})
		s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{
			Topic: "orders", Name: tt.name, Lease: time.Minute, MaxInFlight: 1, DeadLetter: tt.dead,
		})
		switch {
		case !tt.refused && err != nil:
			t.Errorf("%s: Subscribe = %v, want nil", tt.name, err)
		case tt.refused && (!resilience.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), "RedrivePolicy")):
			t.Errorf("%s: Subscribe = %v, want a permanent error that names RedrivePolicy", tt.name, err)
		}
		if err == nil {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}
