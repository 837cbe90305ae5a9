package sqspubsub_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
)

func TestConformance(t *testing.T) { pubsubtest.Run(t, standard(t, "sqs, in process", startServer(t))) }
func TestConformanceFIFO(t *testing.T) {
	pubsubtest.Run(t, fifo(t, "sqs fifo, in process", startServer(t)))
}

// TestConformanceOfMoto is of standard queues alone. With FIFO queues moto 5.2.5 fails Lease/CloseGivesBack: the second
// message of a group comes before the first when both come back, which Amazon's documents rule out. FIFO is held to the
// suite on sqstest.
func TestConformanceOfMoto(t *testing.T) { pubsubtest.Run(t, standard(t, "sqs, moto", realServer(t))) }

func standard(t *testing.T, name, url string) pubsubtest.Harness {
	h := harness(t, name, url, func(string) bool { return false })
	h.Abilities = pubsubtest.Abilities{Redeliver: true, Delay: true, Browse: true, Lag: true}
	return h
}

func fifo(t *testing.T, name, url string) pubsubtest.Harness {
	h := harness(t, name, url, func(string) bool { return true })
	h.Abilities = pubsubtest.Abilities{Order: true, Redeliver: true, Browse: true, Lag: true}
	return h
}

func harness(t *testing.T, name, url string, kind func(string) bool) pubsubtest.Harness {
	w := newWire(t)
	queues, topics := clients(url, w)
	b := sqspubsub.New(queues, topics, &sqspubsub.Options{FIFO: kind, PollWait: time.Second})
	return pubsubtest.Harness{
		Adapter: name,
		// Long enough for 700 messages to be received on a machine that others use, too.
		Lease:  3 * time.Second,
		Broker: func(testing.TB) driver.Broker { return b },
		Stranger: func(t testing.TB, topic string, data []byte) {
			publishPlainly(t, topics, topic, kind(topic), string(data))
		},
		Outage: func(testing.TB) func() {
			w.cut.Store(true)
			return func() { w.cut.Store(false) }
		},
		MaxBytes: 1 << 20,
	}
}

// publishPlainly publishes as somebody does who knows nothing of this package.
func publishPlainly(t testing.TB, topics *sns.Client, topic string, fifo bool, body string) {
	t.Helper()
	in := &sns.CreateTopicInput{Name: aws.String(sqspubsub.PlainName(topic))}
	if fifo {
		in.Name, in.Attributes = aws.String(*in.Name+".fifo"), map[string]string{"FifoTopic": "true"}
	}
	out, err := topics.CreateTopic(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	p := &sns.PublishInput{TopicArn: out.TopicArn, Message: aws.String(body)}
	if fifo {
		p.MessageGroupId, p.MessageDeduplicationId = aws.String("g"), aws.String(body)
	}
	if _, err := topics.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}
