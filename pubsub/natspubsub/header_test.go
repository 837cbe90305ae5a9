package natspubsub

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

func headerOf(as driver.Attributes) nats.Header {
	return new(header).encode(as, "")
}

func TestHeaderBinding(t *testing.T) {
	// From the HTTP binding, section 3.1.3.2: the euro sign and the emoji, space, quote and percent.
	tests := map[string]string{
		"plain":              "plain",
		"Euro € 😀":           "Euro%20%E2%82%AC%20%F0%9F%98%80",
		`a "quoted" 100%`:    "a%20%22quoted%22%20100%25",
		"line\r\nX-Evil: 1":  "line%0D%0AX-Evil:%201",
		"":                   "",
		" padded ":           "%20padded%20",
		"\x7f\x00":           "%7F%00",
		"~!#$&'()*+,-./:;=?": "~!#$&'()*+,-./:;=?",
	}
	for in, want := range tests {
		h := headerOf(driver.AttributesOf(map[string]string{"ce-id": in}))
		if got := h["ce-id"][0]; got != want {
			t.Errorf("%q is sent as %q, want %q", in, got, want)
		}
		if got := decodeHeader(h).Get("ce-id"); got != in {
			t.Errorf("%q came back as %q", in, got)
		}
	}
	h := headerOf(driver.Attributes{
		{Name: "content-type", Value: "text/plain; a=%41"}, {Name: "tracestate", Value: "a=b c"},
		{Name: "twice", Value: "first"}, {Name: "twice", Value: "second"},
	})
	if got := h["twice"]; len(got) != 1 || got[0] != "first" {
		t.Errorf("a name that is there twice is sent as %q, want the first", got)
	}
	if h["content-type"][0] != "text/plain; a=%41" || h["tracestate"][0] != "a=b c" {
		t.Errorf("header %v, want content type and trace state as they are", h)
	}
}

// One header serves for all messages of a call.
func TestHeadersOneAfterTheOther(t *testing.T) {
	one, two := driver.Attribute{Name: "one", Value: "1"}, driver.Attribute{Name: "two", Value: "2 3"}
	var h header
	for i, test := range []struct {
		as   driver.Attributes
		id   string
		want nats.Header
	}{
		{driver.Attributes{one, two}, "a", nats.Header{"one": {"1"}, "two": {"2%203"}, "Nats-Msg-Id": {"a"}}},
		{driver.Attributes{{Name: "one"}, two}, "b", nats.Header{"one": {""}, "two": {"2%203"}, "Nats-Msg-Id": {"b"}}},
		{driver.Attributes{two, one}, "c", nats.Header{"one": {"1"}, "two": {"2%203"}, "Nats-Msg-Id": {"c"}}},
		{driver.Attributes{two, one}, "", nats.Header{"one": {"1"}, "two": {"2%203"}}},
		{driver.Attributes{two}, "d", nats.Header{"two": {"2%203"}, "Nats-Msg-Id": {"d"}}},
		{driver.Attributes{one, two}, "", nats.Header{"one": {"1"}, "two": {"2%203"}}},
		{driver.Attributes{one, one}, "", nats.Header{"one": {"1"}}},
		{nil, "", nats.Header{}},
		{nil, "e", nats.Header{"Nats-Msg-Id": {"e"}}},
	} {
		if got := h.encode(test.as, test.id); !reflect.DeepEqual(got, test.want) {
			t.Errorf("message %d: got %v, want %v", i, got, test.want)
		}
	}
}

func TestStrangersHeader(t *testing.T) {
	got := decodeHeader(nats.Header{
		"Content-Type": {"text/plain"}, "X-Twice": {"first", "second"}, "Nats-Msg-Id": {"1"},
		"user": {"lower"}, "User": {"upper"},
		"Empty": {}, "Odd": {"100% %4"},
	})
	want := map[string]string{"content-type": "text/plain", "x-twice": "first", "user": "lower", "odd": "100% %4"}
	if !maps.Equal(got.Map(), want) {
		t.Errorf("decodeHeader = %q, want %q", got, want)
	}
}

// FuzzHeader holds that every value arrives as it was sent, and that nothing in it can break out of its header.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"", "%", "%4", "%zz", "%25", "a\r\nb: c", "\xff", "Größe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sent := escape(s)
		if strings.ContainsFunc(sent, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			t.Errorf("%q is sent as %q, want printable ASCII", s, sent)
		}
		if got := unescape(sent); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
		if len(unescape(s)) > len(s) {
			t.Errorf("unescape(%q) grew", s)
		}
	})
}
