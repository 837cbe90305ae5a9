package sqspubsub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

func TestPlainNamesNeverMeet(t *testing.T) {
	seen := map[string]string{}
	var walk func(s string, left int)
	walk = func(s string, left int) {
		name := plainName(s)
		if len(name) > maxTopicName {
			return // refused
		}
		if before, taken := seen[name]; taken {
			t.Fatalf("%q and %q are both %q", before, s, name)
		}
		seen[name] = s
		if left == 0 {
			return
		}
		for _, c := range []string{"a", "-", "_", ".", "@"} {
			walk(s+c, left-1)
		}
	}
	walk("", 5)
	if got, want := plainName("order.placed@stock"), "order_placed___stock"; got != want {
		t.Errorf("plainName = %q, want %q", got, want)
	}
}

// received returns o as it is received with raw delivery.
func received(o *outgoing) *driver.Delivery {
	m := types.Message{Body: aws.String(o.body), MessageAttributes: map[string]types.MessageAttributeValue{}}
	for _, a := range o.attributes {
		m.MessageAttributes[a.Name] = types.MessageAttributeValue{StringValue: aws.String(a.Value)}
	}
	return delivery(m)
}

func FuzzMessagesArriveAsTheyWereSent(f *testing.F) {
	f.Add([]byte("text"), "name", "value", 3)
	f.Add([]byte{0, 255}, "aws.x", "\xff\x00", 20)
	f.Add([]byte(nil), "ce-x", "\ufffe", 9)
	f.Fuzz(func(t *testing.T, data []byte, name, value string, n int) {
		attrs := map[string]string{"ce-id": "1"}
		for i := range min(max(n, 0), 60) {
			attrs[fmt.Sprint("user-", i)] = value
		}
		if legalName(name) && name == plainLower(name) {
			attrs[name] = value
		}
		o := encode(0, driver.Message{Attributes: driver.AttributesOf(attrs), Data: data})
		if len(o.attributes) > maxAttributes || !legalText(o.body) || o.body == "" {
			t.Errorf("%d attributes, body %q, want at most 10 and legal text", len(o.attributes), o.body)
		}
		d := received(o)
		got := map[string]string{}
		for _, a := range d.Attributes {
			got[a.Name] = a.Value
		}
		if !maps.Equal(got, attrs) || !slices.Equal(d.Data, data) {
			t.Errorf("arrived %q with %q, want %q with %q", d.Data, got, data, attrs)
		}
	})
}

func plainLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func TestTheTraceYieldsItsPlaceFirst(t *testing.T) {
	attrs := map[string]string{"traceparent": "00-x", "ce-id": "1", "ce-type": "t"}
	for i := range 8 {
		attrs[fmt.Sprint("user-", i)] = "v"
	}
	o := encode(0, driver.Message{Attributes: driver.AttributesOf(attrs), Data: []byte("x")})
	names := make([]string, 0, len(o.attributes))
	for _, a := range o.attributes {
		names = append(names, a.Name)
	}
	if len(names) != 10 || slices.Contains(names, "traceparent") || !slices.Contains(names, "ce-type") {
		t.Errorf("attributes %q, want 10 with ce-type and without traceparent", names)
	}
}

// messages returns n of size bytes.
func messages(n, size int) []driver.Message {
	ms := make([]driver.Message, n)
	for i := range ms {
		ms[i] = driver.Message{Data: slices.Repeat([]byte("x"), size)}
	}
	return ms
}

func TestBatchesRespectCountAndBytes(t *testing.T) {
	const limit = 1 << 20
	for _, tt := range []struct{ n, size, want int }{{25, 1 << 10, 3}, {10, 200 << 10, 2}, {1, limit, 1}, {1, limit + 1, 0}} {
		var requests atomic.Int32
		err := New(nil, nil, nil).publish(t.Context(), messages(tt.n, tt.size), limit, false,
			func(_ context.Context, part []*outgoing) (map[int]refusal, error) {
				requests.Add(1)
				return nil, nil
			})
		if _, large := errors.AsType[*driver.TooLargeError](err); int(requests.Load()) != tt.want || large != (tt.want == 0) {
			t.Errorf("%d messages of %d bytes: %d requests, %v, want %d", tt.n, tt.size, requests.Load(), err, tt.want)
		}
	}
}

func TestOnlyTheRefusedEntryIsSentAgain(t *testing.T) {
	for _, tt := range []struct {
		sender  bool
		times   int // that entry 3 is refused
		sent    []int
		indexes []int
	}{
		{sender: false, times: 1, sent: []int{10, 1}},
		{sender: false, times: 2, sent: []int{10, 1}, indexes: []int{3}},
		{sender: true, times: 1, sent: []int{10}, indexes: []int{3}},
	} {
		var sent []int
		err := New(nil, nil, nil).publish(t.Context(), messages(10, 1), 1000, false,
			func(_ context.Context, part []*outgoing) (map[int]refusal, error) {
				sent = append(sent, len(part))
				for i, o := range part {
					if o.index == 3 && len(sent) <= tt.times {
						return map[int]refusal{i: {errors.New("busy"), tt.sender}}, nil
					}
				}
				return nil, nil
			})
		var indexes []int
		if partly, ok := errors.AsType[*driver.PublishError](err); ok {
			indexes = partly.Indexes
		}
		if !slices.Equal(sent, tt.sent) || !slices.Equal(indexes, tt.indexes) {
			t.Errorf("sender %v, %d times: sent %v, failed %v; want %v, %v", tt.sender, tt.times, sent, indexes, tt.sent, tt.indexes)
		}
	}
}

func TestAnEnvelopeOfSNSIsUnwrapped(t *testing.T) {
	const wrapped = `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:r:a:t","Message":"hello",` +
		`"MessageAttributes":{"CE-ID":{"Type":"String","Value":"1"},"bytes":{"Type":"Binary","Value":"AP8="}}}`
	for body, want := range map[string]string{
		wrapped:                   "hello",
		`{"Type":"Notification"}`: `{"Type":"Notification"}`,
		`{"Type":"Other","Message":"x","MessageId":"m","TopicArn":"arn:"}`: `{"Type":"Other","Message":"x","MessageId":"m","TopicArn":"arn:"}`,
		"{": "{",
	} {
		d := delivery(types.Message{Body: aws.String(body)})
		if string(d.Data) != want {
			t.Errorf("%s is %q, want %q", body, d.Data, want)
		}
		if body == wrapped && (d.Attributes.Get("ce-id") != "1" || d.Attributes.Get("bytes") != "\x00\xff") {
			t.Errorf("attributes %v, want those of the envelope", d.Attributes)
		}
	}
}

func FuzzDeliveryOfAnyBody(f *testing.F) {
	f.Add(`{"Type":"Notification","MessageId":"m","TopicArn":"arn:a","Message":"x"}`, "mainstay-attributes", `{"a":["AA=="]}`)
	f.Fuzz(func(t *testing.T, body, name, value string) {
		d := delivery(types.Message{Body: &body})
		if _, _, wrapped := unwrap(body); !wrapped && string(d.Data) != body {
			t.Errorf("arrived %q, want %q", d.Data, body)
		}
		delivery(types.Message{Body: &body, MessageAttributes: map[string]types.MessageAttributeValue{name: {StringValue: &value}}})
	})
}

// What somebody wrote into the attributes of a queue is read without harm, and never taken for a leave that it is not.
func FuzzAttributesOfQueues(f *testing.F) {
	f.Add(`{"Statement":[{"Effect":"Allow","Condition":{"ArnEquals":{"aws:SourceArn":["arn:a"]}}}]}`, "arn:a")
	f.Add(`{"deadLetterTargetArn":"arn:a","maxReceiveCount":"3"}`, "arn:a")
	f.Fuzz(func(t *testing.T, text, arn string) {
		if lets(text, arn) && !strings.Contains(text, "llow") && !strings.Contains(text, `\u`) {
			t.Errorf("%s lets %q send, want not: it allows nothing", text, arn)
		}
		has := map[string]string{"RedrivePolicy": text}
		if err := checkRedrive(queue{}, has, text); err != nil {
			t.Errorf("%s differs from itself: %v", text, err)
		}
		if !sameJSON(`"`+"x"+`"`, `"x"`) || sameJSON(text, text+"]") {
			t.Errorf("%s and what is no JSON are the same, want not", text)
		}
	})
}
