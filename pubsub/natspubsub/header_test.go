package natspubsub

import (
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

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
		h := encodeHeader(driver.Message{Attributes: driver.AttributesOf(map[string]string{"ce-id": in})})
		if got := h["ce-id"][0]; got != want {
			t.Errorf("%q is sent as %q, want %q", in, got, want)
		}
		if got := decodeHeader(h).Get("ce-id"); got != in {
			t.Errorf("%q came back as %q", in, got)
		}
	}
	h := encodeHeader(driver.Message{Attributes: driver.AttributesOf(map[string]string{
		"content-type": "text/plain; a=%41", "tracestate": "a=b c",
	})})
	if h["content-type"][0] != "text/plain; a=%41" || h["tracestate"][0] != "a=b c" {
		t.Errorf("header %v, want content type and trace state as they are", h)
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
