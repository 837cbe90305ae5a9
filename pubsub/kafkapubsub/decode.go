package kafkapubsub

import (
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// Records that were fetched one after the other share the memory of their deliveries, but no more of it than a handler
// that keeps one of them for long may hold on to.
const (
	shareRecords = 32
	shareBytes   = 32 << 10
)

// decoder makes deliveries of records. The names of a record's headers are, as a rule, those of the record before.
type decoder struct {
	names names

	topic     string // that prefix is for
	partition int32
	prefix    string // of positions
}

// entries returns an entry for each record of one partition.
func (c *decoder) entries(rs []*kgo.Record) []*entry {
	all := make([]*entry, 0, len(rs))
	for len(rs) > 0 {
		n, text, headers := share(rs)
		all = c.decode(all, rs[:n], text, headers)
		rs = rs[n:]
	}
	return all
}

// share returns how many of the first records share their memory, how much text they have at most, and how many headers.
func share(rs []*kgo.Record) (n, text, headers int) {
	// In a position, beside the topic: two separators and two numbers.
	const places = 2 + len("2147483647") + len("9223372036854775807")
	values := 0
	for n < len(rs) && n < shareRecords && (n == 0 || text+values < shareBytes) {
		r := rs[n]
		values += len(r.Value)
		text += len(r.Key) + len(r.Topic) + places
		headers += len(r.Headers)
		for _, h := range r.Headers {
			text += len(h.Value)
		}
		n++
	}
	return n, text, headers
}

// decode appends entries for rs, which share one piece of memory for each kind of what they are made of.
func (c *decoder) decode(all []*entry, rs []*kgo.Record, size, headers int) []*entry {
	var text strings.Builder
	text.Grow(size)
	attrs := make(driver.Attributes, 0, headers)
	es := make([]entry, len(rs))
	for i, r := range rs {
		first := len(attrs)
		for at, h := range r.Headers {
			name := c.names.at(at, h.Key, attributeName)
			attrs = append(attrs, driver.Attribute{Name: name, Value: written(&text, h.Value)})
		}
		e := &es[i]
		e.offset, e.epoch = r.Offset, r.LeaderEpoch
		e.d.Key = written(&text, r.Key)
		e.d.Attributes = attrs[first:len(attrs):len(attrs)]
		e.d.Data = r.Value
		e.d.Published = r.Timestamp
		e.d.Position = c.position(&text, r)
		e.d.Handle = e
		all = append(all, e)
	}
	return all
}

// written adds b to text and returns that part of it.
func written(text *strings.Builder, b []byte) string {
	start := text.Len()
	text.Write(b)
	return text.String()[start:]
}

// position names the place of r: its topic, partition and offset.
func (c *decoder) position(text *strings.Builder, r *kgo.Record) string {
	start := text.Len()
	if c.partition != r.Partition || c.topic != r.Topic {
		c.topic, c.partition = r.Topic, r.Partition
		c.prefix = r.Topic + "/" + strconv.FormatInt(int64(r.Partition), 10) + "/"
	}
	text.WriteString(c.prefix)
	var number [20]byte
	text.Write(strconv.AppendInt(number[:0], r.Offset, 10))
	return text.String()[start:]
}
