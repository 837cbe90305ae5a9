package sqstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fanOut is a subscription of a queue to a topic.
type fanOut struct {
	arn        string
	topic      *topic
	endpoint   string // the queue's ARN
	attributes map[string]string
	filter     filterPolicy
}

type subscriptionARN struct {
	SubscriptionARN string `xml:"SubscriptionArn"`
}

func (s *Server) subscribe(form url.Values) (any, *apiError) {
	t, e := s.topicOf(form)
	if e != nil {
		return nil, e
	}
	endpoint := form.Get("Endpoint")
	if form.Get("Protocol") != "sqs" || !strings.HasPrefix(endpoint, queueARN("")) {
		return nil, fault("InvalidParameter", "Invalid parameter: Endpoint")
	}
	if !t.fifo && strings.HasSuffix(endpoint, ".fifo") {
		return nil, fault("InvalidParameter", "Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can "+
			"not be subscribed to standard SNS topics")
	}
	attrs := pairs(form, "Attributes.entry.", "key", "value")
	for _, f := range t.fanOut {
		if f.endpoint != endpoint {
			continue
		}
		if !maps.Equal(f.attributes, attrs) {
			return nil, fault("InvalidParameter", "Invalid parameter: Attributes Reason: Subscription already exists with "+
				"different attributes")
		}
		return subscriptionARN{f.arn}, nil
	}
	f := &fanOut{arn: t.arn + ":" + s.id(), topic: t, endpoint: endpoint, attributes: attrs}
	if text := attrs["FilterPolicy"]; text != "" {
		if err := json.Unmarshal([]byte(text), &f.filter); err != nil {
			return nil, fault("InvalidParameter", "Invalid parameter: FilterPolicy: %v", err)
		}
	}
	s.subscriptions[f.arn] = f
	t.fanOut = append(t.fanOut, f)
	return subscriptionARN{f.arn}, nil
}

func (s *Server) unsubscribe(arn string) {
	if f := s.subscriptions[arn]; f != nil {
		delete(s.subscriptions, arn)
		f.topic.fanOut = slices.DeleteFunc(f.topic.fanOut, func(g *fanOut) bool { return g == f })
	}
}

func (s *Server) listSubscriptions(form url.Values) (any, *apiError) {
	t, e := s.topicOf(form)
	if e != nil {
		return nil, e
	}
	type entry struct {
		SubscriptionARN string `xml:"SubscriptionArn"`
		TopicARN        string `xml:"TopicArn"`
		Owner           string
		Protocol        string
		Endpoint        string
	}
	var l struct {
		Subscriptions []entry `xml:"Subscriptions>member"`
	}
	for _, f := range t.fanOut {
		l.Subscriptions = append(l.Subscriptions, entry{f.arn, t.arn, Account, "sqs", f.endpoint})
	}
	return l, nil
}

func (s *Server) subscriptionAttributes(form url.Values) (any, *apiError) {
	f := s.subscriptions[form.Get("SubscriptionArn")]
	if f == nil {
		return nil, &apiError{"NotFound", "Subscription does not exist", true}
	}
	all := maps.Clone(f.attributes)
	all["Endpoint"], all["TopicArn"], all["Protocol"] = f.endpoint, f.topic.arn, "sqs"
	if all["RawMessageDelivery"] == "" {
		all["RawMessageDelivery"] = "false"
	}
	return listOf(all), nil
}

type published struct {
	ID             string `xml:"Id,omitempty"`
	MessageID      string `xml:"MessageId"`
	SequenceNumber string `xml:",omitempty"`
}

func (s *Server) publish(form url.Values) (any, *apiError) {
	t, e := s.topicOf(form)
	if e != nil {
		return nil, e
	}
	c, e := snsContent(form, "")
	if e != nil {
		return nil, e
	}
	return s.spread(t, c)
}

func (s *Server) publishBatch(form url.Values) (any, *apiError) {
	t, e := s.topicOf(form)
	if e != nil {
		return nil, e
	}
	var ids []string
	var contents []content
	size := 0
	for i := 1; ; i++ {
		at := "PublishBatchRequestEntries.member." + strconv.Itoa(i) + "."
		if !form.Has(at + "Id") {
			break
		}
		c, e := snsContent(form, at)
		if e != nil {
			return nil, e
		}
		ids, contents = append(ids, form.Get(at+"Id")), append(contents, c)
		size += c.size()
	}
	if e := checkBatch(ids, size, t.limit()); e != nil {
		return nil, e
	}
	var l struct {
		Successful []*published `xml:"Successful>member"`
		Failed     []failed     `xml:"Failed>member"`
	}
	for i, c := range contents {
		p, e := s.spread(t, c)
		if e != nil {
			l.Failed = append(l.Failed, failed{ids[i], e.code, e.message, e.sender})
			continue
		}
		p.ID = ids[i]
		l.Successful = append(l.Successful, p)
	}
	return l, nil
}

// spread gives a message to every subscription of t that wants it.
func (s *Server) spread(t *topic, c content) (*published, *apiError) {
	if e := c.check(t.limit()); e != nil {
		return nil, &apiError{"InvalidParameter", "Invalid parameter: " + e.message, true}
	}
	p := &published{MessageID: s.id()}
	if t.fifo {
		if c.group == "" || c.dedup == "" {
			return nil, fault("InvalidParameter", "Invalid parameter: The MessageGroupId and MessageDeduplicationId "+
				"parameters are required for FIFO topics")
		}
		if before, ok := t.seen[c.dedup]; ok && time.Since(before.at) < dedupWindow {
			return &published{MessageID: before.id, SequenceNumber: before.sequence}, nil
		}
		p.SequenceNumber = fmt.Sprintf("%020d", s.sequence)
		t.seen[c.dedup] = stored{p.MessageID, p.SequenceNumber, time.Now()}
	} else {
		c.dedup = ""
	}
	for _, f := range t.fanOut {
		s.deliver(f, p.MessageID, c)
	}
	return p, nil
}

// deliver stores a message in a queue. What the queue, its policy or the subscription's filter refuses is dropped, as
// SNS drops it.
func (s *Server) deliver(f *fanOut, id string, c content) {
	q := s.queues[strings.TrimPrefix(f.endpoint, queueARN(""))]
	if q == nil || !q.lets(f.topic.arn) || !f.filter.matches(c.attributes) {
		return
	}
	if f.attributes["RawMessageDelivery"] != "true" {
		c = envelope(f, id, c)
	}
	if q.fifo() != f.topic.fifo { // a FIFO topic may feed a standard queue
		c.dedup = ""
	}
	_, _, _ = s.add(q, c, q.seconds("DelaySeconds"))
}

// envelope wraps a message as SNS does without raw delivery.
func envelope(f *fanOut, id string, c content) content {
	type value struct{ Type, Value string }
	attrs := make(map[string]value)
	for name, a := range c.attributes {
		v := base64.StdEncoding.EncodeToString(a.BinaryValue)
		if a.StringValue != nil {
			v = *a.StringValue
		}
		attrs[name] = value{a.DataType, v}
	}
	body, err := json.Marshal(map[string]any{
		"Type": "Notification", "MessageId": id, "TopicArn": f.topic.arn, "Message": c.body,
		"Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "1",
		"MessageAttributes": attrs,
	})
	if err != nil {
		panic(err) // strings alone
	}
	return content{string(body), nil, c.group, c.dedup}
}
