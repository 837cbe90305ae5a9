package kafkapubsub

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// In the CloudEvents Kafka binding (binary mode, section 3.2.3) "ce_" marks a context attribute, where other bindings
// have "ce-". Values are UTF-8 as they are.
const (
	attrPrefix   = "ce-"
	headerPrefix = "ce_"
)

// record returns m as a record that shares no memory with it.
func record(topic string, m driver.Message) *kgo.Record {
	size := len(m.Key) + len(m.Data)
	for _, at := range m.Attributes {
		size += len(at.Name) + len(at.Value)
	}
	a := arena{buf: make([]byte, 0, size)}
	r := &kgo.Record{Topic: topic, Headers: make([]kgo.RecordHeader, 0, len(m.Attributes))}
	if m.Key != "" {
		r.Key = a.add(m.Key)
	}
	if m.Data != nil { // nil is a tombstone
		start := len(a.buf)
		a.buf = append(a.buf, m.Data...)
		r.Value = a.buf[start:len(a.buf):len(a.buf)]
	}
	for _, at := range m.Attributes {
		name := at.Name
		if rest, ok := strings.CutPrefix(name, attrPrefix); ok {
			name = headerPrefix + rest
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: a.add(at.Value)})
	}
	return r
}

// arena holds the bytes of one record: one allocation for all of them.
type arena struct{ buf []byte }

func (a *arena) add(s string) []byte {
	start := len(a.buf)
	a.buf = append(a.buf, s...)
	return a.buf[start:len(a.buf):len(a.buf)]
}

// attributes reads headers. Of one name, upper case or lower, the first counts.
func attributes(hs []kgo.RecordHeader) driver.Attributes {
	attrs := make(driver.Attributes, 0, len(hs))
	for _, h := range hs {
		name := strings.ToLower(h.Key)
		if rest, ok := strings.CutPrefix(name, headerPrefix); ok {
			name = attrPrefix + rest
		}
		attrs = append(attrs, driver.Attribute{Name: name, Value: string(h.Value)})
	}
	return attrs
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
