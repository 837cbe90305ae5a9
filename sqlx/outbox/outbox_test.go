package outbox

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
)

func TestInsertQuery(t *testing.T) {
	got := strings.Join(strings.Fields(insertQuery(3)), " ")
	want := "INSERT INTO mainstay_outbox (topic, message_id, message_key, envelope, data)" +
		" VALUES ($1, $2, $3, $4, $5), ($6, $7, $8, $9, $10), ($11, $12, $13, $14, $15)"
	if got != want {
		t.Errorf("insertQuery(3) = %q, want %q", got, want)
	}
}

func TestList(t *testing.T) {
	rows := []row{{seq: 1}, {seq: 9223372036854775807}}
	for d, want := range map[sqlx.Dialect]string{
		sqlx.SQLite: "[1,9223372036854775807]", sqlx.Postgres: "{1,9223372036854775807}",
	} {
		if got := (&store{dialect: d}).list(rows); got != want {
			t.Errorf("list for %v = %q, want %q", d, got, want)
		}
	}
}

func TestEnvelopeKeepsEverything(t *testing.T) {
	want := pubsub.Message{
		Type: "order.created", Source: "/orders", Schema: "https://example.com/order/2", ContentType: "application/json",
		Time: time.Date(2026, 11, 25, 10, 30, 0, 123456789, time.UTC), CorrelationID: "c-1", CausationID: "m-0",
		Trace:    map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
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
		t.Errorf("Trace = %v, %v, want an empty map, not nil", got.Trace, err)
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
