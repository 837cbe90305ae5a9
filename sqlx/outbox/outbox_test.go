package outbox

import (
	"cmp"
	"hash/fnv"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/pubsub"
)

func TestInsertQuery(t *testing.T) {
	got := strings.Join(strings.Fields(insertQuery(3)), " ")
	want := "INSERT INTO mainstay_outbox (shard, topic, message_id, message_key, envelope, data)" +
		" VALUES ($1, $2, $3, $4, $5, $6), ($7, $8, $9, $10, $11, $12), ($13, $14, $15, $16, $17, $18)"
	if got != want {
		t.Errorf("insertQuery(3) = %q, want %q", got, want)
	}
}

// The shard of a key must be the same in all versions of a service: rows of both may be in the table.
func TestShardOfStaysAsItIs(t *testing.T) {
	for _, tt := range []struct {
		topic, key, id string
		want           int16
	}{
		{"order.created", "o-1", "m-1", 29},
		{"order.created", "o-1", "m-2", 29}, // the ID of a message with a key does not matter
		{"order.created", "", "m-1", 23},
		{"order.created", "", "m-2", 30},
		{"", "", "", 19},
	} {
		if got := shardOf(tt.topic, tt.key, tt.id); got != tt.want {
			t.Errorf("shardOf(%q, %q, %q) = %d, want %d", tt.topic, tt.key, tt.id, got, tt.want)
		}
		h := fnv.New32a()
		h.Write([]byte(tt.topic + "\x00" + cmp.Or(tt.key, tt.id)))
		if sum := h.Sum32(); int16((sum^sum>>16)%shards) != tt.want {
			t.Errorf("the documented hash of %q and %q is not %d", tt.topic, tt.key, tt.want)
		}
	}
}

// Keys that differ in little must not end up in a few shards: there would be replicas without work.
func TestShardOfSpreads(t *testing.T) {
	for name, key := range map[string]func(i int) string{
		"Numbers": strconv.Itoa,
		"Tens":    func(i int) string { return strconv.Itoa(10 * i) },
		"Powers":  func(i int) string { return string([]byte{byte(i), byte(i >> 8), 0, 0, 0, 0, 0, 0}) },
		"UUIDs":   func(int) string { return uuid.NewString() },
	} {
		var got [shards]int
		const n = 32000
		for i := range n {
			got[shardOf("orders", key(i), "")]++
		}
		for shard, of := range got {
			if of < n/shards/2 || of > n/shards*2 {
				t.Errorf("%s: shard %d has %d of %d keys, want about %d", name, shard, of, n, n/shards)
			}
		}
	}
}

func TestEnvelopeKeepsEverything(t *testing.T) {
	want := pubsub.Message{
		Type: "order.created", Source: "/orders", Schema: "https://example.com/order/2", ContentType: "application/json",
		Time: time.Date(2026, 11, 25, 10, 30, 0, 123456789, time.UTC), CorrelationID: "c-1", CausationID: "m-0",
		Trace: pubsub.Attributes{
			{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		},
		Metadata: map[string]string{"tenant": "a <b> & \"c\" \u00e9"},
	}
	text, err := encode(&want)
	if err != nil {
		t.Fatal(err)
	}
	var got pubsub.Message
	if err := decode(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decode(encode(m)) = %+v, %v, want %+v", got, err, want)
	}
}

// A message that belonged to no trace must not join the relay's.
func TestEnvelopeWithoutTraceStaysWithout(t *testing.T) {
	text, _ := encode(&pubsub.Message{Type: "a"})
	var got pubsub.Message
	if err := decode(text, &got); err != nil || got.Trace == nil || len(got.Trace) != 0 {
		t.Errorf("Trace = %v, %v, want an empty one, not nil", got.Trace, err)
	}
}

// FuzzDecode: whatever a row holds, decoding ends in an error or in a message that encodes to the same.
func FuzzDecode(f *testing.F) {
	f.Add(`{"type":"a","time":"2026-11-25T10:30:00Z","trace":{"traceparent":"x"}}`)
	f.Add(`{"metadata":{"":"\u0000"}}`)
	f.Add(`{`)
	f.Fuzz(func(t *testing.T, text string) {
		var m, again pubsub.Message
		if decode(text, &m) != nil {
			return
		}
		out, err := encode(&m)
		if err != nil {
			return // a time that RFC 3339 cannot write
		}
		if err := decode(out, &again); err != nil || !maps.Equal(m.Metadata, again.Metadata) || !m.Time.Equal(again.Time) {
			t.Errorf("decode(%q) = %+v, and again %+v, %v", text, m, again, err)
		}
	})
}
