package natspubsub

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestReplySubjects(t *testing.T) {
	want := replied{stream: "ORDERS", delivered: 2, seq: 42, stored: 1700000000000000000}
	for _, subject := range []string{
		"$JS.ACK.ORDERS.stock.2.42.7.1700000000000000000.3",
		"$JS.ACK._.HASH.ORDERS.stock.2.42.7.1700000000000000000.3",
		"$JS.ACK.hub.HASH.ORDERS.stock.2.42.7.1700000000000000000.3.token",
		"$JS.ACK.hub.HASH.ORDERS.stock.2.42.7.1700000000000000000.3.token.more",
	} {
		if got, ok := parseReply(subject); got != want || !ok {
			t.Errorf("%s: got %+v, %v, want %+v", subject, got, ok, want)
		}
	}
	for _, subject := range []string{
		"", "$JS.ACK.", "_INBOX.a.b", "$JS.ACK.ORDERS.stock.2.42.7.1700000000000000000",
		"$JS.ACK.x.ORDERS.stock.2.42.7.1700000000000000000.3", "$JS.ACK.ORDERS.stock.2.-1.7.1700000000000000000.3",
		"$JS.ACK.ORDERS.stock.2..7.1700000000000000000.3", "$JS.ACK.ORDERS.stock.2.12345678901234567890.7.1.3",
	} {
		if got, ok := parseReply(subject); ok {
			t.Errorf("%q: got %+v, want it refused", subject, got)
		}
	}
}

// FuzzReply holds that what is read is what the client library reads.
func FuzzReply(f *testing.F) {
	f.Add("$JS.ACK.ORDERS.stock.2.42.7.1700000000000000000.3")
	f.Add("$JS.ACK.hub.HASH.ORDERS.stock.2.42.7.1700000000000000000.3.token")
	f.Fuzz(func(t *testing.T, subject string) {
		got, ok := parseReply(subject)
		if !ok {
			return
		}
		m := nats.Msg{Reply: subject, Sub: &nats.Subscription{}}
		meta, err := (&m).Metadata()
		if err != nil {
			t.Fatalf("%q: %v", subject, err)
		}
		want := replied{meta.Stream, meta.NumDelivered, meta.Sequence.Stream, uint64(meta.Timestamp.UnixNano())}
		if got != want {
			t.Errorf("%q: got %+v, want %+v", subject, got, want)
		}
	})
}

// FuzzPlainAck holds that what passes for a positive answer is one.
func FuzzPlainAck(f *testing.F) {
	for _, s := range []string{
		`{"stream":"ORDERS","seq":1}`, `{"stream":"ORDERS","seq":1,"duplicate": true}`, `{"stream":"a\"b","seq":1}`,
		`{"error":{"code":503},"stream":"ORDERS","seq":0}`, `{"stream":"ORDERS","seq":1}}`, `{"stream":"","seq":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !isPlainAck(data) {
			return
		}
		if err := decodeAck(data); err != nil {
			t.Errorf("%q passes for an acknowledgement, but %v", data, err)
		}
	})
}

func TestAnswersToAPublish(t *testing.T) {
	header := func(status string) nats.Header { return nats.Header{"Status": {status}} }
	tests := map[string]struct {
		m    *nats.Msg
		want error
	}{
		"plain":         {&nats.Msg{Data: []byte(`{"stream":"ORDERS","seq":12}`)}, nil},
		"duplicate":     {&nats.Msg{Data: []byte(`{"stream":"ORDERS","seq":12,"duplicate": true}`)}, nil},
		"in a domain":   {&nats.Msg{Data: []byte(`{"stream":"ORDERS","domain":"hub","seq":12}`)}, nil},
		"no responders": {&nats.Msg{Header: header("503")}, jetstream.ErrNoStreamResponse},
		"too large": {
			&nats.Msg{Data: []byte(`{"error":{"code":400,"err_code":10054,"description":"x"},"stream":"ORDERS","seq":0}`)},
			jetstream.ErrStreamMessageExceedsMaximum,
		},
		"no stream": {&nats.Msg{Data: []byte(`{"seq":12}`)}, jetstream.ErrInvalidJSAck},
		"not JSON":  {&nats.Msg{Data: []byte(`{"stream":"ORDERS","seq":12}}`)}, jetstream.ErrInvalidJSAck},
		"empty":     {&nats.Msg{}, jetstream.ErrInvalidJSAck},
	}
	for name, test := range tests {
		if got := stored(test.m); !errors.Is(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
