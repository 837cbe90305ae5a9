package kafkapubsub

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

func TestRecordIsInTheCloudEventsBinding(t *testing.T) {
	m := driver.Message{
		Key: "k", Data: []byte("{}"),
		Attributes: driver.AttributesOf(map[string]string{"ce-id": "1", "content-type": "application/json", "traceparent": "00-1-2-01"}),
	}
	r := record("orders", m)
	got := map[string]string{}
	for _, h := range r.Headers {
		got[h.Key] = string(h.Value)
	}
	want := map[string]string{"ce_id": "1", "content-type": "application/json", "traceparent": "00-1-2-01"}
	if !maps.Equal(got, want) || string(r.Key) != "k" || string(r.Value) != "{}" {
		t.Errorf("headers %q, key %q, value %q, want %q, k, {}", got, r.Key, r.Value, want)
	}
}

func TestRecordTellsATombstoneFromAnEmptyValue(t *testing.T) {
	if r := record("t", driver.Message{}); r.Key != nil {
		t.Errorf("key of a message without one = %q, want nil: it goes to any partition", r.Key)
	}
	if r := record("t", driver.Message{Key: "k"}); r.Value != nil {
		t.Errorf("value of nil data = %q, want nil", r.Value)
	}
	if r := record("t", driver.Message{Key: "k", Data: []byte{}}); r.Value == nil {
		t.Error("value of empty data = nil, want an empty one")
	}
}

func record(topic string, m driver.Message) *kgo.Record {
	var g page
	g.write(topic, []driver.Message{m}, new(names))
	return &g.records[0]
}

func attributes(hs []kgo.RecordHeader) driver.Attributes {
	return new(decoder).entries([]*kgo.Record{{Headers: hs}})[0].d.Attributes
}

func FuzzAttributes(f *testing.F) {
	f.Add("ce_id", []byte("1"), "CE_ID", []byte("2"))
	f.Add("content-type", []byte("\xff\x00"), "", []byte(nil))
	f.Fuzz(func(t *testing.T, k1 string, v1 []byte, k2 string, v2 []byte) {
		attrs := attributes([]kgo.RecordHeader{{Key: k1, Value: v1}, {Key: k2, Value: v2}})
		for _, a := range attrs {
			if a.Name != strings.ToLower(a.Name) || strings.HasPrefix(a.Name, headerPrefix) {
				t.Errorf("attribute %q, want lower case and no ce_", a.Name)
			}
		}
		// What was read is read the same after it was written.
		r := record("t", driver.Message{Attributes: attrs, Data: v1})
		if again := attributes(r.Headers); !slices.Equal(again, attrs) {
			t.Errorf("read %q, written and read again %q", attrs, again)
		}
		if !bytes.Equal(r.Value, v1) {
			t.Errorf("value %q, want %q", r.Value, v1)
		}
	})
}

func TestVarintIsAsLongAsZigzagSays(t *testing.T) {
	for n, want := range map[int]int{0: 1, 63: 1, 64: 2, 8191: 2, 8192: 3, 1 << 20: 4} {
		if got := varint(n); got != want {
			t.Errorf("varint(%d) = %d bytes, want %d", n, got, want)
		}
	}
}
