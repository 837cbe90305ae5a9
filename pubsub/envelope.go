package pubsub

import (
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

// encode puts a prepared message into its envelope.
func encode(m *Message) driver.Message {
	attrs := make(map[string]string, 9+len(m.Trace)+len(m.Metadata))
	for k, v := range m.Metadata {
		attrs[k] = v
	}
	for k, v := range m.Trace {
		attrs[k] = v
	}
	attrs[attrSpecVersion] = specVersion
	attrs[attrID] = m.ID
	attrs[attrSource] = m.Source
	attrs[attrType] = m.Type
	attrs[attrTime] = m.Time.Format(time.RFC3339Nano)
	attrs[attrCorrelation] = m.CorrelationID
	setIf(attrs, attrKey, m.Key)
	setIf(attrs, attrSchema, m.Schema)
	setIf(attrs, attrContentType, m.ContentType)
	setIf(attrs, attrCausation, m.CausationID)
	return driver.Message{ID: m.ID, Key: m.Key, Attributes: attrs, Data: m.Data}
}

func setIf(attrs map[string]string, k, v string) {
	if v != "" {
		attrs[k] = v
	}
}

// decode reads the envelope of whatever arrived. It cannot fail: a stranger's message, without attributes or with
// hostile ones, gets an ID from its place in the broker and loses what Publish would have refused, so that a handler
// may pass on what it got.
func decode(topic, subscription string, d *driver.Delivery, traceFields []string) *Message {
	m := &Message{
		ID:           text(d.Attributes[attrID], maxNameLength),
		Key:          text(keyOf(d), MaxKeyLength),
		Type:         text(d.Attributes[attrType], maxNameLength),
		Source:       text(d.Attributes[attrSource], maxNameLength),
		Schema:       text(d.Attributes[attrSchema], maxNameLength),
		ContentType:  text(d.Attributes[attrContentType], maxNameLength),
		Time:         timeOf(d),
		CausationID:  causeOf(d.Attributes[attrCausation]),
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
	m.CorrelationID = correlationOf(d.Attributes[attrCorrelation], m.ID)
	for _, f := range traceFields {
		if v := text(d.Attributes[f], maxValueLength); v != "" {
			m.Trace[f] = v
		}
	}
	m.Metadata = metadataOf(d, m.Trace)
	return m
}

func metadataOf(d *driver.Delivery, trace map[string]string) map[string]string {
	var md map[string]string
	for k, v := range d.Attributes {
		if _, isTrace := trace[k]; isTrace || reserved(k) || checkAttribute("", k, v) != nil {
			continue
		}
		if md == nil {
			md = make(map[string]string)
		}
		md[k] = v
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
	return d.Attributes[attrKey]
}

func timeOf(d *driver.Delivery) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, d.Attributes[attrTime]); err == nil && sendable(t) {
		return t.UTC()
	}
	return d.Published
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
