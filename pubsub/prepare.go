package pubsub

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/propagation"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

const (
	// maxTopicLength is Kafka's bound, the tightest of the brokers whose topic names may hold dots.
	maxTopicLength = 249
	// maxSubscriptionLength keeps the default dead-letter topic of a topic of up to 172 bytes within maxTopicLength.
	maxSubscriptionLength = 64
	// maxNameLength bounds what identifies (IDs, types, media types): enough for a URI, small enough for an index.
	maxNameLength = 256
	// maxValueLength bounds one metadata value: what W3C baggage takes at most.
	maxValueLength = 8 << 10
	// maxAttributes and maxAttributeBytes, names and values, bound Metadata and Trace each. Brokers bound the sum with
	// the payload, mostly at 1 MiB.
	maxAttributes     = 64
	maxAttributeBytes = 64 << 10
)

// InvalidError says which part of a message, or of a subscription's options, cannot be sent or used as it is. It is
// permanent: the same value never becomes valid.
type InvalidError struct {
	Field  string // such as "Key" or `Metadata["user"]`
	Reason string // what is wrong with it, as words that follow the field: "must not be negative"
}

// Error returns the field and the reason.
func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// Retryable returns false.
func (e *InvalidError) Retryable() bool { return false }

// Prepare returns a copy of m, as Publish would send it to topic from ctx: ID, Type, Time, CorrelationID,
// CausationID and Trace filled in where m leaves them empty, as the fields' comments say. Source is left to the
// client. Data is shared with m, maps are not. Nil p means W3C trace context.
//
// An outbox prepares a message when it stores it, so that the relay, which runs elsewhere and later, publishes what
// belongs to the original request. The error is an *[InvalidError].
func Prepare(ctx context.Context, topic string, m *Message, p propagation.TextMapPropagator) (*Message, error) {
	if err := checkTopic("topic", topic); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, &InvalidError{"message", "is nil"}
	}
	c := *m
	o := originOf(ctx, topic)
	o.complete(&c)
	c.Trace = traceOf(ctx, c.Trace, propagatorOr(p))
	c.Metadata = maps.Clone(c.Metadata)
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := checkTrace(c.Trace); err != nil {
		return nil, err
	}
	return &c, nil
}

// origin is what the messages of one call have in common.
type origin struct {
	topic         string
	correlationID string // of the context, "" where it has none
	causationID   string
	now           time.Time
	ids           *mint // of IDs for several messages, nil for one
}

func originOf(ctx context.Context, topic string) origin {
	return origin{
		topic: topic, correlationID: correlation.FromContext(ctx), causationID: correlation.Cause(ctx),
		now: time.Now().UTC(),
	}
}

// complete fills in what m, a copy of the caller's, leaves empty.
func (o *origin) complete(m *Message) {
	m.Topic, m.Subscription, m.Attempt, m.DeadLetter = "", "", 0, nil
	if m.ID == "" {
		m.ID = o.ids.next()
	}
	if m.Type == "" {
		m.Type = o.topic
	}
	if m.Time.IsZero() {
		m.Time = o.now
	}
	m.Time = m.Time.UTC()
	switch {
	case m.CorrelationID != "":
	case o.correlationID != "":
		m.CorrelationID = o.correlationID
	default:
		m.CorrelationID = correlation.Adopt(m.ID)
	}
	if m.CausationID == "" && o.causationID != m.ID {
		m.CausationID = o.causationID
	}
}

func propagatorOr(p propagation.TextMapPropagator) propagation.TextMapPropagator {
	if p == nil {
		return propagation.TraceContext{}
	}
	return p
}

const attrBaggage = "baggage"

// traceOf returns a copy of given, nil for what p has of ctx. A message that is passed on has the baggage that its
// publisher sent: of that, only what p lets through is stored or sent again.
func traceOf(ctx context.Context, given Attributes, p propagation.TextMapPropagator) Attributes {
	if given == nil {
		own := make(traceCarrier, 0, 2)
		p.Inject(ctx, &own)
		return Attributes(own)
	}
	given = slices.Clone(given)
	if given.Get(attrBaggage) != "" {
		sieved := traceCarrier{}
		p.Inject(p.Extract(context.Background(), carried(&given)), &sieved)
		given.Delete(attrBaggage)
		given = appendIf(given, attrBaggage, sieved.Get(attrBaggage))
	}
	return given
}

// traceCarrier is Message.Trace to a propagator. Names are in lower case, whatever the propagator's convention
// ("X-Amzn-Trace-Id"), and what no message may carry is left out: a trace keeps nothing from being sent.
type traceCarrier Attributes

// carried lets a propagator read trace.
func carried(trace *Attributes) *traceCarrier { return (*traceCarrier)(trace) }

func (c *traceCarrier) Get(key string) string { return Attributes(*c).Get(strings.ToLower(key)) }

func (c *traceCarrier) Set(key, value string) {
	key = strings.ToLower(key)
	if !validKey(key) || textFault(value, maxValueLength) != "" {
		return
	}
	size := len(key) + len(value)
	for i, a := range *c {
		if a.Name == key {
			(*c)[i].Value = value
			return
		}
		size += len(a.Name) + len(a.Value)
	}
	if len(*c) < maxAttributes && size <= maxAttributeBytes {
		*c = append(*c, driver.Attribute{Name: key, Value: value})
	}
}

func (c *traceCarrier) Keys() []string {
	keys := make([]string, len(*c))
	for i, a := range *c {
		keys[i] = a.Name
	}
	return keys
}

// check says whether m, defaults filled in, can travel through every broker. Its Trace is not looked at.
func (m *Message) check() error {
	names := [...]struct {
		field, value string
		limit        int
	}{
		{"ID", m.ID, maxNameLength},
		{"Key", m.Key, MaxKeyLength},
		{"Type", m.Type, maxNameLength},
		{"Source", m.Source, maxNameLength},
		{"Schema", m.Schema, maxNameLength},
		{"ContentType", m.ContentType, maxNameLength},
	}
	for _, n := range names {
		if fault := textFault(n.value, n.limit); fault != "" {
			return &InvalidError{n.field, fault}
		}
	}
	if !correlation.Valid(m.CorrelationID) {
		return &InvalidError{"CorrelationID", wellFormed}
	}
	if m.CausationID != "" && !correlation.Valid(m.CausationID) {
		return &InvalidError{"CausationID", wellFormed}
	}
	if !sendable(m.Time) {
		return &InvalidError{"Time", "must lie in the years 0 to 9999"}
	}
	if err := checkAttributes("Metadata", m.Metadata); err != nil {
		return err
	}
	for k := range m.Metadata {
		if reserved(k) {
			return &InvalidError{fmt.Sprintf("Metadata[%q]", k), "is a name that the kit uses itself"}
		}
	}
	return nil
}

// wellFormed is what correlation.Valid asks for.
const wellFormed = "must be 1 to 128 of A-Z a-z 0-9 . _ -"

// sendable reports whether t fits RFC 3339, which CloudEvents uses: four digits for the year.
func sendable(t time.Time) bool {
	y := t.UTC().Year()
	return 0 <= y && y <= 9999
}

func checkAttributes(field string, attrs map[string]string) error {
	size := 0
	for k, v := range attrs {
		if err := checkAttribute(field, k, v); err != nil {
			return err
		}
		size += len(k) + len(v)
	}
	return checkBounds(field, len(attrs), size)
}

// checkTrace is checkAttributes for a list.
func checkTrace(trace Attributes) error {
	if len(trace) > maxAttributes {
		return checkBounds("Trace", len(trace), 0)
	}
	size := 0
	for i, a := range trace {
		if err := checkAttribute("Trace", a.Name, a.Value); err != nil {
			return err
		}
		if has(trace[:i], a.Name) {
			return &InvalidError{fmt.Sprintf("Trace[%q]", a.Name), "is there twice"}
		}
		size += len(a.Name) + len(a.Value)
	}
	return checkBounds("Trace", len(trace), size)
}

func has(as Attributes, name string) bool {
	return slices.ContainsFunc(as, func(a driver.Attribute) bool { return a.Name == name })
}

func checkBounds(field string, n, size int) error {
	switch {
	case n > maxAttributes:
		return &InvalidError{field, fmt.Sprintf("has %d entries, at most %d are allowed", n, maxAttributes)}
	case size > maxAttributeBytes:
		return &InvalidError{field, fmt.Sprintf("has %d bytes, at most %d are allowed", size, maxAttributeBytes)}
	}
	return nil
}

func checkAttribute(field, key, value string) error {
	if !validKey(key) {
		return &InvalidError{fmt.Sprintf("%s[%.64q]", field, key), "must be named by 1 to 128 of a-z 0-9 - _ ."}
	}
	if fault := textFault(value, maxValueLength); fault != "" {
		return &InvalidError{fmt.Sprintf("%s[%q]", field, key), fault}
	}
	return nil
}

// validKey reports whether k may name an attribute: an HTTP field name (RFC 9110 section 5.1) in lower case, less the
// punctuation that some broker refuses.
func validKey(k string) bool {
	return k != "" && len(k) <= 128 && onlyHas(k, func(c byte) bool {
		return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	})
}

// reserved reports whether k is a name that the kit, or CloudEvents' bindings, give a meaning to.
func reserved(k string) bool {
	switch k {
	case attrContentType, "traceparent", "tracestate", attrBaggage:
		return true
	}
	return strings.HasPrefix(k, "ce-") || strings.HasPrefix(k, attrPrefix)
}

// textFault says what in s breaks a header or a log line somewhere on the way, "" for nothing: its length, control
// characters, invalid UTF-8.
func textFault(s string, limit int) string {
	switch {
	case len(s) > limit:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), limit)
	case onlyHas(s, func(c byte) bool { return 0x20 <= c && c < 0x7f }): // nearly always
	case !utf8.ValidString(s) || strings.ContainsFunc(s, isControl):
		return "holds a control character or invalid UTF-8"
	}
	return ""
}

// isControl reports C0, DEL and C1, which CloudEvents (section 3.1, String) refuses too.
func isControl(r rune) bool { return r < 0x20 || 0x7f <= r && r <= 0x9f }

func checkTopic(field, name string) error { return checkName(field, name, maxTopicLength) }

// checkName refuses names that are not legal, as they are or after a plain replacement, on NATS, Kafka and SQS.
func checkName(field, name string, limit int) error {
	legal := name != "" && len(name) <= limit && onlyHas(name, func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	})
	// An empty token is no NATS subject, and "." and ".." are no Kafka topics.
	if !legal || name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return &InvalidError{fmt.Sprintf("%s %.300q", field, name),
			fmt.Sprintf("must be 1 to %d of A-Z a-z 0-9 - _ . without an empty part between dots", limit)}
	}
	return nil
}

func onlyHas(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}
