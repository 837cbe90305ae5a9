package sqspubsub_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestOptionsOutOfBoundsAreNamed(t *testing.T) {
	for name, o := range map[string]*sqspubsub.Options{
		"PollWait":        {PollWait: 20*time.Second + 1},
		"option PollWait": {PollWait: -1},
		"MaxReceiveCount": {MaxReceiveCount: 1001},
	} {
		b := sqspubsub.New(nil, nil, o)
		_, subscribe := b.Subscribe(t.Context(), driver.SubscribeOptions{Topic: "t", Name: "n", Lease: time.Second})
		_, _, browse := b.Browse(t.Context(), "t", "", 1)
		for what, err := range map[string]error{
			"Publish": b.Publish(t.Context(), "t", nil), "Declare": b.Declare(t.Context(), []string{"t"}),
			"Redeliver": b.Redeliver(t.Context(), "t", "n", nil, 0), "Subscribe": subscribe, "Browse": browse,
		} {
			if !resilience.IsPermanent(err) || !strings.Contains(fmt.Sprint(err), name) {
				t.Errorf("%s: %s = %v, want a permanent error that names it", name, what, err)
			}
		}
	}
}

func TestLimitsOfWhatExistsAreKept(t *testing.T) {
	queues, topics := clients(startServer(t), newWire(t))
	small := map[string]string{"MaximumMessageSize": "2048"}
	if _, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("orders"), Attributes: small}); err != nil {
		t.Fatal(err)
	}
	in := &sqs.CreateQueueInput{QueueName: aws.String("wide___stock"), Attributes: small}
	if _, err := queues.CreateQueue(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	b := sqspubsub.New(queues, topics, nil)
	large := []driver.Message{{ID: "1", Data: bytes.Repeat([]byte("x"), 2049)}}
	for what, err := range map[string]error{
		"Publish":   b.Publish(t.Context(), "orders", large),
		"Redeliver": b.Redeliver(t.Context(), "wide", "stock", large, 0),
	} {
		if e, ok := errors.AsType[*driver.TooLargeError](err); !ok || e.Limit != 2048 {
			t.Errorf("%s = %v, want that it is too large for 2048 bytes", what, err)
		}
	}
}

// answering answers everything with a fault.
type answering struct {
	status int
	code   string
}

func (a answering) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Errortype": {a.code}},
		Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"__type":%q,"message":"no"}`, a.code))), Request: r,
	}, nil
}

// A refusal shows that the service is there.
func TestPingTakesARefusalForAnAnswer(t *testing.T) {
	for code, want := range map[string]bool{
		"AccessDenied": true, "AccessDeniedException": true, "InvalidClientTokenId": false,
	} {
		queues, topics := clientsOver("http://queue.test", answering{http.StatusForbidden, code})
		if err := sqspubsub.New(queues, topics, nil).Ping(t.Context()); (err == nil) != want {
			t.Errorf("%s: Ping = %v, want nil: %v", code, err, want)
		}
	}
}
