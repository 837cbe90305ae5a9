package kafkapubsub

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// In the CloudEvents Kafka binding (binary mode, section 3.2.3) "ce_" marks a context attribute, where other bindings
// have "ce-". Values are UTF-8 as they are.
const (
	attrPrefix   = "ce-"
	headerPrefix = "ce_"
)

// page is the memory of some records, for one call of Publish after the other.
type page struct {
	records []kgo.Record
	headers []kgo.RecordHeader
	bytes   []byte
}

// maxPageBytes bounds what is kept for the next call.
const maxPageBytes = 1 << 20

// write makes the page's records those of ms, with which they share no memory. The names of a message's attributes are,
// as a rule, those of the message before.
func (g *page) write(topic string, ms []driver.Message, ns *names) {
	size, headers := 0, 0
	for i := range ms {
		m := &ms[i]
		size += len(m.Key) + len(m.Data)
		headers += len(m.Attributes)
		for _, at := range m.Attributes {
			size += len(at.Value)
		}
	}
	// All at once: what records refer to must not move.
	g.records = slices.Grow(g.records[:0], len(ms))[:len(ms)]
	g.headers = slices.Grow(g.headers[:0], headers)
	g.bytes = slices.Grow(g.bytes[:0], size)
	now := time.Now() // once: the client would ask for each
	for i := range ms {
		m, r := &ms[i], &g.records[i]
		*r = kgo.Record{Topic: topic, Timestamp: now}
		if m.Key != "" {
			r.Key = copied(g, m.Key)
		}
		if m.Data != nil { // nil is a tombstone
			r.Value = copied(g, m.Data)
		}
		first := len(g.headers)
		for at, attr := range m.Attributes {
			name := ns.at(at, attr.Name, headerName)
			g.headers = append(g.headers, kgo.RecordHeader{Key: name, Value: copied(g, attr.Value)})
		}
		r.Headers = g.headers[first:len(g.headers):len(g.headers)]
	}
}

func copied[T string | []byte](g *page, s T) []byte {
	start := len(g.bytes)
	g.bytes = append(g.bytes, s...)
	return g.bytes[start:len(g.bytes):len(g.bytes)]
}

func headerName(attribute string) string {
	if rest, ok := strings.CutPrefix(attribute, attrPrefix); ok {
		return headerPrefix + rest
	}
	return attribute
}

func attributeName(header string) string {
	name := strings.ToLower(header)
	if rest, ok := strings.CutPrefix(name, headerPrefix); ok {
		return attrPrefix + rest
	}
	return name
}

// names remembers what the names of one message became, by their places, for the next one.
type names []struct{ from, to string }

// maxNames bounds what is remembered: a stranger's message may have any number.
const maxNames = 32

// at returns what translate makes of name, which is the i-th of its message. Called with i from 0 up.
func (ns *names) at(i int, name string, translate func(string) string) string {
	switch {
	case i < len(*ns) && (*ns)[i].from == name:
		return (*ns)[i].to
	case i >= maxNames:
		return translate(name)
	case i >= len(*ns):
		*ns = append(*ns, struct{ from, to string }{})
	}
	(*ns)[i].from, (*ns)[i].to = name, translate(name)
	return (*ns)[i].to
}

// batchOverhead is what a batch (magic 2) has beside its records: base offset 8, length 4, leader epoch 4, magic 1,
// checksum 4, attributes 2, last offset delta 4, two timestamps 16, producer 14, count 4. The client counts
// up to four bytes more for the length of the batch in a request.
const batchOverhead = 61 + 4

// size is what a batch of r alone takes, uncompressed.
func size(r *kgo.Record) int {
	n := 1 + 1 + 1 + field(len(r.Key)) + field(len(r.Value)) + varint(len(r.Headers))
	for _, h := range r.Headers {
		n += field(len(h.Key)) + field(len(h.Value))
	}
	return batchOverhead + field(n)
}

// field is the size of n bytes behind their length.
func field(n int) int { return varint(n) + n }

// varint is the size of n, which is not negative, in zigzag encoding.
func varint(n int) int {
	size := 1
	for u := uint64(n) << 1; u >= 0x80; u >>= 7 {
		size++
	}
	return size
}
