package sqspubsub

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

const (
	// maxAttributes is how many a message may have; with raw delivery SNS drops what has more.
	maxAttributes = 10
	// attrPacked holds, as a JSON object, the attributes that have no place of their own: those beyond the limit, and
	// those that are empty or hold what SQS does not take.
	attrPacked = "mainstay-attributes"
	// attrEncoding says how the body is written: "base64", or "empty" for none at all.
	attrEncoding = "mainstay-encoding"
)

// outgoing is a message as it is sent.
type outgoing struct {
	index      int // in the caller's batch
	key        string
	id         string
	body       string
	attributes []driver.Attribute
	bytes      int // as the services count
}

// encode writes m in what SNS and SQS take.
func encode(index int, m driver.Message) *outgoing {
	o := &outgoing{index: index, key: m.Key, id: m.ID}
	room := maxAttributes
	switch {
	case len(m.Data) == 0:
		o.body = "-"
		o.attributes = append(o.attributes, driver.Attribute{Name: attrEncoding, Value: "empty"})
		room--
	case legalText(string(m.Data)):
		o.body = string(m.Data)
	default:
		o.body = base64.StdEncoding.EncodeToString(m.Data)
		o.attributes = append(o.attributes, driver.Attribute{Name: attrEncoding, Value: "base64"})
		room--
	}
	plain, packed := split(m.Attributes, room)
	o.attributes = append(o.attributes, plain...)
	if len(packed) > 0 {
		o.attributes = append(o.attributes, driver.Attribute{Name: attrPacked, Value: pack(packed)})
	}
	o.bytes = len(o.body)
	for _, a := range o.attributes {
		o.bytes += len(a.Name) + len("String") + len(a.Value)
	}
	return o
}

// split says which attributes are the service's own, at most room together with the one that holds the others. What
// filter policies are about comes first, the trace last.
func split(attrs driver.Attributes, room int) (plain, packed []driver.Attribute) {
	for _, a := range attrs {
		if a.Value == "" || !legalText(a.Value) || !legalName(a.Name) {
			packed = append(packed, a)
		} else {
			plain = append(plain, a)
		}
	}
	if len(plain) > room {
		slices.SortStableFunc(plain, func(a, b driver.Attribute) int { return rank(a.Name) - rank(b.Name) })
	}
	if len(packed) > 0 || len(plain) > room {
		room = min(room-1, len(plain))
		plain, packed = plain[:room], append(packed, plain[room:]...)
	}
	return plain, packed
}

func rank(name string) int {
	switch {
	case strings.HasPrefix(name, "ce-"), name == "content-type":
		return 0
	case name == "traceparent", name == "tracestate", name == "baggage":
		return 2
	}
	return 1
}

// pack writes attributes as a JSON object. A value that JSON cannot hold is a list of one string in base64.
func pack(attrs []driver.Attribute) string {
	object := make(map[string]any, len(attrs))
	for _, a := range attrs {
		object[a.Name] = a.Value
		if !utf8.ValidString(a.Value) || strings.ContainsAny(a.Value, "\ufffe\uffff") {
			object[a.Name] = []string{base64.StdEncoding.EncodeToString([]byte(a.Value))}
		}
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic(err) // strings alone
	}
	return string(text)
}

// unpack reverses pack. It returns nothing for what is no such object.
func unpack(text string) driver.Attributes {
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) != nil {
		return nil
	}
	var attrs driver.Attributes
	for name, v := range object {
		switch v := v.(type) {
		case string:
			attrs = append(attrs, driver.Attribute{Name: strings.ToLower(name), Value: v})
		case []any:
			if len(v) != 1 {
				continue
			}
			s, _ := v[0].(string)
			if b, err := base64.StdEncoding.DecodeString(s); err == nil {
				attrs = append(attrs, driver.Attribute{Name: strings.ToLower(name), Value: string(b)})
			}
		}
	}
	return attrs
}

// decodeAttributes reverses what encode did to attributes, and returns how the body is written.
func decodeAttributes(raw driver.Attributes) (attrs driver.Attributes, encoding string) {
	attrs = make(driver.Attributes, 0, len(raw))
	for _, a := range raw {
		switch name := strings.ToLower(a.Name); name {
		case attrEncoding:
			encoding = a.Value
		case attrPacked:
			attrs = append(attrs, unpack(a.Value)...)
		default:
			attrs = append(attrs, driver.Attribute{Name: name, Value: a.Value})
		}
	}
	return attrs, encoding
}

// decodeBody reverses what encode did to a body. What does not decode, a stranger's, stands for itself.
func decodeBody(body, encoding string) []byte {
	switch encoding {
	case "empty":
		return nil
	case "base64":
		if b, err := base64.StdEncoding.DecodeString(body); err == nil {
			return b
		}
	}
	return []byte(body)
}

// legalText reports whether SQS takes s: the characters of XML 1.0 in UTF-8 (SQS API, SendMessage).
func legalText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	})
}

// legalName reports whether SQS takes an attribute's name (SQS developer guide, message attributes).
func legalName(s string) bool {
	lower := strings.ToLower(s)
	return s != "" && len(s) <= 256 && s != attrPacked && s != attrEncoding &&
		s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..") &&
		!strings.HasPrefix(lower, "aws.") && !strings.HasPrefix(lower, "amazon.") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && r != '-' && r != '_' && r != '.'
		})
}
