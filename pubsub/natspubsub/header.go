package natspubsub

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// raw reports whether an attribute's value is written as it is: those that have a syntax of their own, which other
// programs read. All others are percent-encoded as in the CloudEvents HTTP binding (section 3.1.3.2), which the NATS
// binding follows.
func raw(name string) bool {
	switch name {
	case "content-type", "traceparent", "tracestate", "baggage":
		return true
	}
	return false
}

// header makes the headers of messages one after the other. Most have the names of the one before, whose map serves
// again.
type header struct {
	h      nats.Header
	names  []string
	values []string // of names; those in h are of this array
}

// encode returns a header of as and, where it is not empty, of an ID to deduplicate by. It is good until the next call.
func (h *header) encode(as driver.Attributes, id string) nats.Header {
	if !h.fits(as, id) {
		h.shape(as, id)
	}
	for i, a := range as {
		h.values[i] = a.Value
		if !raw(a.Name) {
			h.values[i] = escape(a.Value)
		}
	}
	if id != "" {
		h.values[len(as)] = id
	}
	return h.h
}

// fits reports whether the names are those of the call before.
func (h *header) fits(as driver.Attributes, id string) bool {
	n := len(as)
	if id != "" {
		n++
	}
	if h.h == nil || len(h.names) != n {
		return false
	}
	for i, a := range as {
		if h.names[i] != a.Name {
			return false
		}
	}
	return id == "" || h.names[n-1] == jetstream.MsgIDHeader
}

func (h *header) shape(as driver.Attributes, id string) {
	h.names = h.names[:0]
	for _, a := range as {
		h.names = append(h.names, a.Name)
	}
	if id != "" {
		h.names = append(h.names, jetstream.MsgIDHeader)
	}
	h.values = make([]string, len(h.names))
	h.h = make(nats.Header, len(h.names))
	for i, name := range slices.Backward(h.names) { // the first of a name counts
		h.h[name] = h.values[i : i+1 : i+1]
	}
}

// decodeHeader returns the attributes of a message, less what the server or its clients put there. The first value of
// a name counts, and one in lower case before others.
func decodeHeader(h nats.Header) driver.Attributes {
	attrs := make(driver.Attributes, 0, len(h))
	for k, vs := range h {
		name := strings.ToLower(k)
		if len(vs) == 0 || strings.HasPrefix(name, "nats-") {
			continue
		}
		if name != k {
			if _, taken := h[name]; taken {
				continue
			}
		}
		v := vs[0]
		if !raw(name) {
			v = unescape(v)
		}
		attrs = append(attrs, driver.Attribute{Name: name, Value: v})
	}
	return attrs
}

const hexDigits = "0123456789ABCDEF"

// plain reports whether the binding lets c stand for itself.
func plain(c byte) bool { return 0x21 <= c && c <= 0x7e && c != '"' && c != '%' }

func escape(s string) string {
	special := 0
	for i := range len(s) {
		if !plain(s[i]) {
			special++
		}
	}
	if special == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*special)
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// unescape reverses escape. What is no escape, in a stranger's value, stands for itself.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// unhex returns the value of a hexadecimal digit, -1 for anything else.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
