package sqspubsub

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// unwrap reads the envelope in which SNS delivers where raw delivery is off (SNS developer guide, parsing messages): a
// JSON object of type "Notification". It returns false for any other body, which is a message by itself.
func unwrap(body string) (inner string, attrs driver.Attributes, ok bool) {
	if !strings.HasPrefix(body, "{") {
		return "", nil, false
	}
	var e struct {
		Type, MessageID, TopicArn string
		Message                   *string
		MessageAttributes         map[string]struct{ Type, Value string }
	}
	if json.Unmarshal([]byte(body), &e) != nil || e.Type != "Notification" || e.Message == nil || e.MessageID == "" ||
		!strings.HasPrefix(e.TopicArn, "arn:") {
		return "", nil, false
	}
	for name, a := range e.MessageAttributes {
		if a.Type == "Binary" {
			if b, err := base64.StdEncoding.DecodeString(a.Value); err == nil {
				a.Value = string(b)
			}
		}
		attrs = append(attrs, driver.Attribute{Name: name, Value: a.Value})
	}
	return *e.Message, attrs, true
}
