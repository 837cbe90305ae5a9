package sqstest

import (
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxBatch      = 10
	maxAttributes = 10
	// maxBytes is the most that a message, and a batch, may have on a queue that says nothing else.
	maxBytes = 1 << 20
)

// attribute is a message's attribute as both services have it.
type attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

// content is what a message says.
type content struct {
	body       string
	attributes map[string]attribute
	group      string
	dedup      string
}

// size is what counts towards the limits.
func (c content) size() int {
	n := len(c.body)
	for name, a := range c.attributes {
		n += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			n += len(*a.StringValue)
		}
	}
	return n
}

// check returns what the services refuse.
func (c content) check(limit int) *apiError {
	switch {
	case c.body == "":
		return fault("InvalidParameterValue", "The request must contain a message body.")
	case !legalText(c.body):
		return fault("InvalidMessageContents", "The message contains characters outside the allowed set.")
	case len(c.attributes) > maxAttributes:
		return fault("InvalidParameterValue", "Number of message attributes [%d] exceeds the allowed maximum [10].",
			len(c.attributes))
	case c.size() > limit:
		return fault("InvalidParameterValue", "Message must be shorter than %d bytes.", limit)
	case !legalID(c.group), !legalID(c.dedup):
		return fault("InvalidParameterValue", "MessageGroupId and MessageDeduplicationId can only include alphanumeric "+
			"and punctuation characters. 1 to 128 in length.")
	}
	for name, a := range c.attributes {
		if e := a.check(name); e != nil {
			return e
		}
	}
	return nil
}

func (a attribute) check(name string) *apiError {
	lower := strings.ToLower(name)
	kind, _, _ := strings.Cut(a.DataType, ".")
	switch {
	case name == "" || len(name) > 256 || strings.Trim(name, attributeNameChars) != "" || strings.Contains(name, "..") ||
		name[0] == '.' || name[len(name)-1] == '.' ||
		strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
		return fault("InvalidParameterValue", "The message attribute name '%s' is invalid.", name)
	case kind != "String" && kind != "Number" && kind != "Binary":
		return fault("InvalidParameterValue", "The message attribute '%s' has an invalid type '%s'.", name, a.DataType)
	case kind == "Binary" && len(a.BinaryValue) == 0,
		kind != "Binary" && (a.StringValue == nil || *a.StringValue == ""):
		return fault("InvalidParameterValue", "The message attribute '%s' must contain a non-empty value.", name)
	case a.StringValue != nil && !legalText(*a.StringValue):
		return fault("InvalidParameterValue", "The message attribute '%s' holds an invalid character.", name)
	}
	return nil
}

const attributeNameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

// legalText reports whether s has only what SQS takes: the characters of XML 1.0.
func legalText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	})
}

// legalID reports whether s may be a group or a deduplication ID; "" is none.
func legalID(s string) bool {
	return len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e })
}

// message is one in a queue.
type message struct {
	content
	id        string
	sequence  int64 // in a FIFO queue
	sent      time.Time
	visible   time.Time // from then on
	received  time.Time // last
	first     time.Time // received first
	count     int       // receives
	inFlight  bool      // received, and its visibility has not ended yet as far as anybody looked
	fromQueue string    // where a dead-letter queue has it from
}
