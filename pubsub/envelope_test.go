package pubsub

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/prometheus/client_golang/prometheus"
)

func traceFields() []string { return propagation.TraceContext{}.Fields() }

func TestEnvelope(t *testing.T) {
	m := &Message{
		ID: "1", Key: "k", Type: "shop.order", Source: "/orders", Schema: "https://example.com/order/2",
		ContentType: "application/json", CorrelationID: "c", CausationID: "b",
		Time:  time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Trace: driver.AttributesOf(map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "tracestate": "s=1"}), Metadata: map[string]string{"user": "u"}, Data: []byte("x"),
	}
	got := envelopeOf(t, m)
	want := driver.Message{ID: "1", Key: "k", Data: []byte("x"), Attributes: driver.AttributesOf(map[string]string{
		"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/orders", "ce-type": "shop.order", "ce-time": "2026-01-02T03:04:05.000000006Z",
		"ce-partitionkey": "k", "content-type": "application/json", "ce-dataschema": "https://example.com/order/2", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "tracestate": "s=1",
		"ce-correlationid": "c", "ce-causationid": "b", "user": "u",
	})}
	got.Attributes = driver.AttributesOf(got.Attributes.Map()) // in order
	if !reflect.DeepEqual(got, want) {
		t.Errorf("encode = %+v,\nwant %+v", got, want)
	}
	back := decode("orders", "stock", &driver.Delivery{Message: got, Attempt: 2}, traceFields())
	m.Topic, m.Subscription, m.Attempt = "orders", "stock", 2
	if !reflect.DeepEqual(back, m) {
		t.Errorf("decode = %+v,\nwant %+v", back, m)
	}
}

// envelopeOf returns what the broker is given of m, by a client without spans of its own.
func envelopeOf(t testing.TB, m *Message) driver.Message {
	t.Helper()
	b := &taker{}
	c := NewClient(b, &Options{Registerer: prometheus.NewRegistry(), TracerProvider: noop.NewTracerProvider()})
	if err := c.Publish(t.Context(), "orders", m); err != nil {
		t.Fatal(err)
	}
	return b.ms[0]
}

// taker is a broker that takes what it is given.
type taker struct {
	driver.Broker
	ms []driver.Message
}

func (b *taker) Publish(_ context.Context, _ string, ms []driver.Message) error {
	b.ms = append(b.ms, ms...)
	return nil
}

func TestDecodeKeepsNoHostileCause(t *testing.T) {
	for _, cause := range []string{
		"", "a b", `x"y`, "a\tb", "\xff\xfe", "abc\r\nX-Evil: 1", strings.Repeat("a", 129), strings.Repeat("a", 64<<10),
	} {
		d := &driver.Delivery{Message: driver.Message{Attributes: driver.AttributesOf(map[string]string{"ce-id": "1", "ce-causationid": cause})}}
		if got := decode("orders", "stock", d, nil).CausationID; got != "" {
			t.Errorf("the cause %.20q came as %.20q, want none", cause, got)
		}
	}
}

func TestDecodeGivesAStrangersMessageOneCorrelationID(t *testing.T) {
	for id, want := range map[string]string{
		"m-1":                    "m-1",
		"orders/1":               "6a41069c-39ec-5b85-857a-84bd467d74ca",
		strings.Repeat("a", 129): "",
	} {
		d := &driver.Delivery{Message: driver.Message{Attributes: driver.AttributesOf(map[string]string{"ce-id": id, "ce-correlationid": "a b"})}}
		first, again := decode("orders", "stock", d, nil), decode("orders", "stock", d, nil)
		got := first.CorrelationID
		if !correlation.Valid(got) || got != again.CorrelationID || want != "" && got != want {
			t.Errorf("%.20q came as %q, then %q; want one ID each time (%q)", id, got, again.CorrelationID, want)
		}
	}
}

func TestDecodeBoundsMetadata(t *testing.T) {
	for _, tt := range []struct{ n, size, want int }{
		{64, 1, 64}, {65, 1, 64}, {100_000, 1, 64}, {7, 8 << 10, 7}, {20, 8 << 10, 7}, {3, 9 << 10, 0},
	} {
		attrs := map[string]string{"ce-id": "1"}
		for i := range tt.n {
			attrs[fmt.Sprintf("a%05d", i)] = strings.Repeat("x", tt.size)
		}
		m := decode("orders", "stock", &driver.Delivery{Message: driver.Message{Attributes: driver.AttributesOf(attrs)}}, traceFields())
		if len(m.Metadata) != tt.want {
			t.Errorf("%d of %d attributes of %d bytes, want %d", len(m.Metadata), tt.n, tt.size, tt.want)
		}
		for i := range tt.want {
			if k := fmt.Sprintf("a%05d", i); m.Metadata[k] == "" {
				t.Errorf("%d attributes of %d bytes: %s is missing, want the first ones", tt.n, tt.size, k)
				break
			}
		}
		if _, err := Prepare(t.Context(), "orders", m, nil); err != nil {
			t.Errorf("Prepare of what was received: %v", err)
		}
	}
}

// FuzzDecode holds that whatever arrives, what a handler gets may be published again, as it is.
func FuzzDecode(f *testing.F) {
	f.Add("ce-id", "1", "ce-correlationid", "abc\r\nX-Evil: 1", "k", "S/1", []byte("{}"))
	f.Add("traceparent", "\x00", "ce-time", "yesterday", "\xff", "", []byte(nil))
	f.Add("Content-Type", "text/plain", "ce-time", "9999-12-31T23:59:59-23:59", strings.Repeat("k", 2000), "S\n1", []byte("x"))
	f.Add("mainstay-dead-letter-topic", "orders", "mainstay-dead-letter-attempts", "many", "", strings.Repeat("p", 300), []byte("x"))
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, key, position string, data []byte) {
		attrs := driver.Attributes{{Name: k1, Value: v1}, {Name: k2, Value: v2}}
		d := &driver.Delivery{Message: driver.Message{Key: key, Attributes: slices.Clone(attrs), Data: data}, Position: position}
		m := decode("orders", "stock", d, traceFields())
		if !slices.Equal(d.Attributes, attrs) {
			t.Errorf("decode changed the delivery to %q", d.Attributes)
		}
		if m.ID == "" || !correlation.Valid(m.CorrelationID) || m.Attempt != 1 || string(m.Data) != string(data) {
			t.Errorf("decode = %+v, want an ID, a valid correlation ID, attempt 1, the data", m)
		}
		if _, err := Prepare(t.Context(), "orders", m, nil); err != nil {
			t.Errorf("Prepare of what was received: %v", err)
		}
	})
}
