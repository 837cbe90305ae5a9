package pubsub

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// The attributes of a message on its way: CloudEvents 1.0 in binary mode (names as in the HTTP, NATS and Kafka
// bindings, where "ce-" marks a context attribute), its partitioning and correlation extensions, W3C trace context,
// and our own.
const (
	attrSpecVersion = "ce-specversion"
	attrID          = "ce-id"
	attrSource      = "ce-source"
	attrType        = "ce-type"
	attrTime        = "ce-time"
	attrKey         = "ce-partitionkey"
	attrSchema      = "ce-dataschema"
	attrContentType = "content-type"
	attrCorrelation = "ce-correlationid"
	attrCausation   = "ce-causationid"
	attrPrefix      = "mainstay-" // of our own

	specVersion = "1.0"
)

// leastAttributes is what every message has.
const leastAttributes = 6

// encode appends m's envelope, without trace and metadata, to as. when is m.Time as RFC 3339 has it.
func encode(as driver.Attributes, m *Message, when string) driver.Attributes {
	as = append(as,
		driver.Attribute{Name: attrSpecVersion, Value: specVersion},
		driver.Attribute{Name: attrID, Value: m.ID},
		driver.Attribute{Name: attrSource, Value: m.Source},
		driver.Attribute{Name: attrType, Value: m.Type},
		driver.Attribute{Name: attrTime, Value: when},
		driver.Attribute{Name: attrCorrelation, Value: m.CorrelationID},
	)
	as = appendIf(as, attrKey, m.Key)
	as = appendIf(as, attrSchema, m.Schema)
	as = appendIf(as, attrContentType, m.ContentType)
	return appendIf(as, attrCausation, m.CausationID)
}

func appendIf(as driver.Attributes, name, value string) driver.Attributes {
	if value == "" {
		return as
	}
	return append(as, driver.Attribute{Name: name, Value: value})
}

// decode reads the envelope of whatever arrived. It cannot fail: a stranger's message, without attributes or with
// hostile ones, gets an ID from its place in the broker and loses what Publish would have refused, so that a handler may
// pass on what it got.
func decode(topic, subscription string, d *driver.Delivery, traceFields []string) *Message {
	m := &Message{}
	decodeInto(m, topic, subscription, d, traceFields)
	return m
}

// decodeInto is decode into a zero message. It reports whether d says something of what was tried before.
func decodeInto(m *Message, topic, subscription string, d *driver.Delivery, traceFields []string) (tried bool) {
	m.Topic, m.Subscription = topic, subscription
	m.Data, m.Time, m.Attempt = d.Data, d.Published, max(d.Attempt, 1)
	key := ""
	for i := len(d.Attributes) - 1; i >= 0; i-- { // backwards, because the first of a name counts
		a := &d.Attributes[i]
		switch a.Name {
		case attrID:
			m.ID = text(a.Value, maxNameLength)
		case attrKey:
			key = a.Value
		case attrType:
			m.Type = text(a.Value, maxNameLength)
		case attrSource:
			m.Source = text(a.Value, maxNameLength)
		case attrSchema:
			m.Schema = text(a.Value, maxNameLength)
		case attrContentType:
			m.ContentType = text(a.Value, maxNameLength)
		case attrTime:
			m.Time = timeOf(a.Value, d.Published)
		case attrCorrelation:
			m.CorrelationID = a.Value
		case attrCausation:
			m.CausationID = causeOf(a.Value)
		case attrSpecVersion:
		default:
			tried = decodeOther(m, a, traceFields) || tried
		}
	}
	if m.ID == "" {
		m.ID = strangerID(d)
	}
	m.Key = text(cmp.Or(d.Key, key), MaxKeyLength) // by the broker's own means where it has them
	m.CorrelationID = correlationOf(m.CorrelationID, m.ID)
	m.Metadata = bounded(m.Metadata)
	m.Trace = traceIn(d.Attributes, traceFields)
	if tried {
		m.DeadLetter = deadLetterOf(d.Attributes)
	}
	return tried
}

// traceIn returns those of fields that as has. It is as's own memory where they stand together, as Publish sends them.
func traceIn(as Attributes, fields []string) Attributes {
	is := func(a driver.Attribute) bool { return slices.Contains(fields, a.Name) }
	from := slices.IndexFunc(as, is)
	if from < 0 {
		return Attributes{} // nil would be that of whoever sends the message on
	}
	to := from + 1
	for to < len(as) && is(as[to]) {
		to++
	}
	if !slices.ContainsFunc(as[to:], is) && checkTrace(as[from:to]) == nil {
		return as[from:to:to]
	}
	trace := Attributes{}
	for _, f := range fields {
		trace = appendIf(trace, f, text(as.Get(f), maxValueLength))
	}
	return trace
}

// decodeOther reads an attribute that is not of the envelope, and reports whether it is the kit's own.
func decodeOther(m *Message, a *driver.Attribute, traceFields []string) bool {
	switch {
	case slices.Contains(traceFields, a.Name):
	case reserved(a.Name):
		return strings.HasPrefix(a.Name, attrPrefix)
	case checkAttribute("", a.Name, a.Value) == nil:
		if m.Metadata == nil {
			m.Metadata = make(map[string]string)
		}
		m.Metadata[a.Name] = a.Value
	}
	return false
}

// bounded returns md, or as much of it, in the order of its keys, as Publish would let through.
func bounded(md map[string]string) map[string]string {
	if checkAttributes("", md) == nil {
		return md
	}
	kept, size := make(map[string]string, maxAttributes), 0
	for _, k := range slices.Sorted(maps.Keys(md)) {
		size += len(k) + len(md[k])
		if len(kept) == maxAttributes || size > maxAttributeBytes {
			break
		}
		kept[k] = md[k]
	}
	return kept
}

// timeOf reads the time of an event, by default when the broker stored it.
func timeOf(s string, published time.Time) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil && sendable(t) {
		return t.UTC()
	}
	return published
}

// strangerID names a message that came without an ID by its place, which is the same at each delivery.
func strangerID(d *driver.Delivery) string {
	if id := text(d.Position, maxNameLength); id != "" {
		return id
	}
	return newID()
}

// correlationOf adopts what the message carries. Where that is missing or hostile, the message's own ID starts the
// story, or a UUID made of it (version 5) where it is not well formed: unlike a new ID, both are the same at each
// delivery.
func correlationOf(carried, id string) string {
	switch {
	case correlation.Valid(carried):
		return carried
	case correlation.Valid(id):
		return id
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(id)).String()
}

// causeOf drops what is hostile: there is nothing to put in its place.
func causeOf(carried string) string {
	if !correlation.Valid(carried) {
		return ""
	}
	return carried
}

// text returns s, or nothing where s is longer than limit or not clean.
func text(s string, limit int) string {
	if textFault(s, limit) != "" {
		return ""
	}
	return s
}
