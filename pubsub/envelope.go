package pubsub

import (
	"crypto/rand"
	"maps"
	"slices"
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

	specVersion = "1.0"
)

// envelopeAttributes is the most that a message has beside its trace and its metadata.
const envelopeAttributes = 10

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
// hostile ones, gets an ID from its place in the broker and loses what Publish would have refused, so that a handler
// may pass on what it got.
func decode(topic, subscription string, d *driver.Delivery, traceFields []string) *Message {
	m := &Message{
		ID:           text(d.Attributes.Get(attrID), maxNameLength),
		Key:          text(keyOf(d), MaxKeyLength),
		Type:         text(d.Attributes.Get(attrType), maxNameLength),
		Source:       text(d.Attributes.Get(attrSource), maxNameLength),
		Schema:       text(d.Attributes.Get(attrSchema), maxNameLength),
		ContentType:  text(d.Attributes.Get(attrContentType), maxNameLength),
		Time:         timeOf(d),
		CausationID:  causeOf(d.Attributes.Get(attrCausation)),
		Trace:        make(map[string]string, len(traceFields)),
		Data:         d.Data,
		Topic:        topic,
		Subscription: subscription,
		Attempt:      max(d.Attempt, 1),
		DeadLetter:   deadLetterOf(d.Attributes),
	}
	if m.ID == "" {
		m.ID = strangerID(d)
	}
	m.CorrelationID = correlationOf(d.Attributes.Get(attrCorrelation), m.ID)
	for _, f := range traceFields {
		if v := text(d.Attributes.Get(f), maxValueLength); v != "" {
			m.Trace[f] = v
		}
	}
	m.Metadata = metadataOf(d, m.Trace)
	return m
}

func metadataOf(d *driver.Delivery, trace map[string]string) map[string]string {
	var md map[string]string
	for _, a := range slices.Backward(d.Attributes) { // the first of a name counts
		if _, isTrace := trace[a.Name]; isTrace || reserved(a.Name) || checkAttribute("", a.Name, a.Value) != nil {
			continue
		}
		if md == nil {
			md = make(map[string]string)
		}
		md[a.Name] = a.Value
	}
	return bounded(md)
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

// keyOf returns the key by the broker's own means where it has them, else by the envelope.
func keyOf(d *driver.Delivery) string {
	if d.Key != "" {
		return d.Key
	}
	return d.Attributes.Get(attrKey)
}

func timeOf(d *driver.Delivery) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, d.Attributes.Get(attrTime)); err == nil && sendable(t) {
		return t.UTC()
	}
	return d.Published
}

// strangerID names a message that came without an ID by its place, which is the same at each delivery.
func strangerID(d *driver.Delivery) string {
	if id := text(d.Position, maxNameLength); id != "" {
		return id
	}
	return newID(rand.Reader)
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
