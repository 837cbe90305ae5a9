package sqstest

import (
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// topic is one of either kind. The server's mutex guards it.
type topic struct {
	arn        string
	attributes map[string]string
	fifo       bool
	seen       map[string]stored // by deduplication ID
	fanOut     []*fanOut
}

// defaultTopicBytes is the limit of a topic that says nothing else.
const defaultTopicBytes = 256 << 10

func (t *topic) limit() int {
	if n, err := strconv.Atoi(t.attributes["MaximumMessageSize"]); err == nil {
		return n
	}
	return defaultTopicBytes
}

func (s *Server) serveSNS(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 3*maxRequest)
	var out any
	var e *apiError
	if err := r.ParseForm(); err != nil {
		e = fault("MalformedQueryString", "%v", err)
	} else {
		s.mu.Lock()
		out, e = s.sns(r.Form.Get("Action"), r.Form)
		s.mu.Unlock()
	}
	w.Header().Set("Content-Type", "text/xml")
	if e != nil {
		status := http.StatusBadRequest
		if e.code == "NotFound" {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		out = snsFault{Error: snsFaultText{"Sender", e.code, e.message}, RequestID: "0"}
	}
	_ = xml.NewEncoder(w).Encode(out) // a client that is gone has no use for it
}

type snsFault struct {
	XMLName   xml.Name     `xml:"ErrorResponse"`
	Error     snsFaultText `xml:"Error"`
	RequestID string       `xml:"RequestId"`
}

type snsFaultText struct {
	Type    string
	Code    string
	Message string
}

// answer is a result in its two elements, which are named after the action.
type snsAnswer struct {
	action string
	result any
}

// MarshalXML implements xml.Marshaler.
func (a snsAnswer) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	response := xml.StartElement{Name: xml.Name{Local: a.action + "Response"}}
	if err := e.EncodeToken(response); err != nil {
		return err
	}
	if err := e.EncodeElement(a.result, xml.StartElement{Name: xml.Name{Local: a.action + "Result"}}); err != nil {
		return err
	}
	return e.EncodeToken(response.End())
}

func (s *Server) sns(action string, form url.Values) (any, *apiError) {
	var result any = struct{}{}
	var e *apiError
	switch action {
	case "CreateTopic":
		result, e = s.createTopic(form)
	case "DeleteTopic":
		s.deleteTopic(form.Get("TopicArn"))
	case "ListTopics":
		result = s.listTopics()
	case "GetTopicAttributes":
		result, e = s.topicAttributes(form)
	case "Subscribe":
		result, e = s.subscribe(form)
	case "Unsubscribe":
		s.unsubscribe(form.Get("SubscriptionArn"))
	case "ListSubscriptionsByTopic":
		result, e = s.listSubscriptions(form)
	case "GetSubscriptionAttributes":
		result, e = s.subscriptionAttributes(form)
	case "Publish":
		result, e = s.publish(form)
	case "PublishBatch":
		result, e = s.publishBatch(form)
	default:
		return nil, fault("InvalidAction", "no %s here", action)
	}
	if e != nil {
		return nil, e
	}
	return snsAnswer{action, result}, nil
}

// pairs reads the map that form has under prefix ("Attributes.entry.1.key").
func pairs(form url.Values, prefix, key, value string) map[string]string {
	m := make(map[string]string)
	for i := 1; ; i++ {
		at := prefix + strconv.Itoa(i) + "."
		name := form.Get(at + key)
		if name == "" {
			return m
		}
		m[name] = form.Get(at + value)
	}
}

// attributeList is a map as SNS answers it.
type attributeList struct {
	Entries []attributeEntry `xml:"Attributes>entry"`
}

type attributeEntry struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func listOf(m map[string]string) attributeList {
	var l attributeList
	for _, k := range slices.Sorted(maps.Keys(m)) {
		l.Entries = append(l.Entries, attributeEntry{k, m[k]})
	}
	return l
}

type topicARN struct {
	TopicARN string `xml:"TopicArn"`
}

func (s *Server) createTopic(form url.Values) (any, *apiError) {
	name := form.Get("Name")
	base, suffixed := strings.CutSuffix(name, ".fifo")
	attrs := pairs(form, "Attributes.entry.", "key", "value")
	fifo := attrs["FifoTopic"] == "true"
	if base == "" || len(name) > 256 || strings.Trim(base, strings.TrimSuffix(attributeNameChars, ".")) != "" ||
		fifo != suffixed {
		return nil, fault("InvalidParameter", "Invalid parameter: Topic Name")
	}
	arn := "arn:aws:sns:" + Region + ":" + Account + ":" + name
	if t := s.topics[arn]; t != nil {
		for k, v := range attrs {
			if t.attributes[k] != v {
				return nil, fault("InvalidParameter", "Invalid parameter: Attributes Reason: Topic already exists with "+
					"different attributes")
			}
		}
		return topicARN{arn}, nil
	}
	attrs["TopicArn"] = arn
	s.topics[arn] = &topic{arn: arn, attributes: attrs, fifo: fifo, seen: make(map[string]stored)}
	return topicARN{arn}, nil
}

// deleteTopic deletes its subscriptions as well.
func (s *Server) deleteTopic(arn string) {
	delete(s.topics, arn)
	maps.DeleteFunc(s.subscriptions, func(_ string, f *fanOut) bool { return f.topic.arn == arn })
}

func (s *Server) listTopics() any {
	var l struct {
		Topics []topicARN `xml:"Topics>member"`
	}
	for _, arn := range slices.Sorted(maps.Keys(s.topics)) {
		l.Topics = append(l.Topics, topicARN{arn})
	}
	return l
}

func (s *Server) topicOf(form url.Values) (*topic, *apiError) {
	if t := s.topics[form.Get("TopicArn")]; t != nil {
		return t, nil
	}
	return nil, &apiError{"NotFound", "Topic does not exist", true}
}

func (s *Server) topicAttributes(form url.Values) (any, *apiError) {
	t, e := s.topicOf(form)
	if e != nil {
		return nil, e
	}
	return listOf(t.attributes), nil
}

// snsContent reads a message of Publish, or one of a batch.
func snsContent(form url.Values, prefix string) (content, *apiError) {
	c := content{
		body:  form.Get(prefix + "Message"),
		group: form.Get(prefix + "MessageGroupId"), dedup: form.Get(prefix + "MessageDeduplicationId"),
		attributes: make(map[string]attribute),
	}
	for i := 1; ; i++ {
		at := prefix + "MessageAttributes.entry." + strconv.Itoa(i) + "."
		name := form.Get(at + "Name")
		if name == "" {
			return c, nil
		}
		a := attribute{DataType: form.Get(at + "Value.DataType")}
		if v, ok := form[at+"Value.StringValue"]; ok {
			a.StringValue = &v[0]
		}
		if v := form.Get(at + "Value.BinaryValue"); v != "" {
			b, err := base64.StdEncoding.DecodeString(v)
			if err != nil {
				return c, fault("InvalidParameter", "Invalid parameter: MessageAttributes: %v", err)
			}
			a.BinaryValue = b
		}
		c.attributes[name] = a
	}
}
