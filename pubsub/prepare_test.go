package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

func TestPrepare(t *testing.T) {
	t.Run("FillsInWhatIsEmpty", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
			ctx := trace.ContextWithSpanContext(correlation.NewContext(t.Context(), "c-1"), sc)
			ctx = pubsub.NewContext(ctx, &pubsub.Message{ID: "cause"})
			m := &pubsub.Message{Data: []byte("x"), Attempt: 3, Topic: "other", Subscription: "other", DeadLetter: &pubsub.DeadLetter{}}
			before := *m
			got, err := pubsub.Prepare(ctx, "orders", m, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*m, before) {
				t.Errorf("Prepare changed its argument to %+v", m)
			}
			if len(got.ID) != 36 || got.ID[14] != '7' {
				t.Errorf("ID = %q, want a UUIDv7", got.ID)
			}
			want := &pubsub.Message{
				ID: got.ID, Type: "orders", Time: time.Now().UTC(), CorrelationID: "c-1", CausationID: "cause", Data: []byte("x"),
				Trace: driver.AttributesOf(map[string]string{"traceparent": "00-01000000000000000000000000000000-0200000000000000-01"}),
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("Prepare = %+v,\nwant %+v", got, want)
			}
		})
	})
	t.Run("KeepsWhatIsThere", func(t *testing.T) {
		m := &pubsub.Message{
			ID: "1", Key: "k", Type: "order", Source: "/s", ContentType: "text/plain", Time: time.Unix(1, 2).UTC(), CorrelationID: "c",
			CausationID: "b", Trace: driver.AttributesOf(map[string]string{"traceparent": "t"}), Metadata: map[string]string{"a.b_c-1": "Größe"},
		}
		ctx := pubsub.NewContext(correlation.NewContext(t.Context(), "other"), &pubsub.Message{ID: "other"})
		got, err := pubsub.Prepare(ctx, "orders", m, nil)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("Prepare = %+v, %v, want %+v", got, err, m)
		}
		got.Metadata["a.b_c-1"], got.Trace[0].Value = "", ""
		if m.Metadata["a.b_c-1"] == "" || m.Trace.Get("traceparent") == "" {
			t.Error("the copy shares memory with its original")
		}
	})
	t.Run("MintsWhereTheContextIsEmptyOrHostile", func(t *testing.T) {
		for _, ctx := range []context.Context{t.Context(), correlation.NewContext(t.Context(), "a\r\nb")} {
			got, err := pubsub.Prepare(ctx, "orders", &pubsub.Message{}, nil)
			if err != nil || !correlation.Valid(got.CorrelationID) || got.Trace == nil || len(got.Trace) != 0 || got.CausationID != "" {
				t.Errorf("Prepare = %+v, %v, want a new correlation ID and no trace", got, err)
			}
		}
	})
}

// attributes returns n attributes whose values have size bytes.
func attributes(n, size int) map[string]string {
	as := map[string]string{}
	for i := range n {
		as[fmt.Sprintf("a%03d", i)] = strings.Repeat("x", size)
	}
	return as
}

func TestPrepareTakesTheHandledMessageAsCause(t *testing.T) {
	for _, tt := range []struct{ name, handled, id, given, want string }{
		{"ItsID", "a", "b", "", "a"},
		{"WhatIsGivenFirst", "a", "b", "c", "c"},
		{"NeverItself", "a", "a", "", ""},
		{"KeptWhenSentAgain", "a", "a", "c", "c"},
		{"NothingHostile", "a\r\nX-Evil: 1", "b", "", ""},
		{"NothingTooLong", strings.Repeat("a", 129), "b", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := pubsub.NewContext(t.Context(), &pubsub.Message{ID: tt.handled})
			got, err := pubsub.Prepare(ctx, "orders", &pubsub.Message{ID: tt.id, CausationID: tt.given}, nil)
			if err != nil || got.CausationID != tt.want {
				t.Errorf("got %+v, %v; want the cause %q", got, err, tt.want)
			}
		})
	}
}

func TestPrepareTakesTheCauseOfAnotherClientsHandler(t *testing.T) {
	ctx := correlation.WithCause(t.Context(), "lambda-1")
	got, err := pubsub.Prepare(ctx, "orders", &pubsub.Message{ID: "b"}, nil)
	if err != nil || got.CausationID != "lambda-1" {
		t.Errorf("got %+v, %v; want the cause lambda-1", got, err)
	}
	got, err = pubsub.Prepare(pubsub.NewContext(ctx, nil), "orders", &pubsub.Message{ID: "b"}, nil)
	if err != nil || got.CausationID != "" {
		t.Errorf("without a message: got %+v, %v; want no cause", got, err)
	}
}

func TestPrepareNamesTheBadField(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	tests := []struct {
		name  string
		topic string
		m     *pubsub.Message
		want  string
	}{
		{"Topic", "a b", &pubsub.Message{}, `topic "a b"`},
		{"LongTopic", long, &pubsub.Message{}, "must be 1 to 249"},
		{"NilMessage", "t", nil, "message is nil"},
		{"LongID", "t", &pubsub.Message{ID: long}, "ID has 10000 bytes, at most 256"},
		{"ControlInID", "t", &pubsub.Message{ID: "a\nb"}, "ID holds a control character"},
		{"LongKey", "t", &pubsub.Message{Key: long}, "Key has 10000 bytes, at most 1024"},
		{"InvalidKey", "t", &pubsub.Message{Key: "\xff"}, "Key holds"},
		{"Type", "t", &pubsub.Message{Type: "a\x7f"}, "Type holds"},
		{"Source", "t", &pubsub.Message{Source: "\u0085"}, "Source holds"},
		{"ContentType", "t", &pubsub.Message{ContentType: "a\r\n"}, "ContentType holds"},
		{"CorrelationID", "t", &pubsub.Message{CorrelationID: "a b"}, "CorrelationID must be"},
		{"CausationID", "t", &pubsub.Message{CausationID: "\x00"}, "CausationID must be"},
		{"Time", "t", &pubsub.Message{Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}, "Time must lie"},
		{"TraceName", "t", &pubsub.Message{Trace: driver.AttributesOf(map[string]string{"Trace Parent": ""})}, `Trace["Trace Parent"] must be named`},
		{"TraceValue", "t", &pubsub.Message{Trace: driver.AttributesOf(map[string]string{"traceparent": "a\n"})}, `Trace["traceparent"] holds`},
		{"MetadataName", "t", &pubsub.Message{Metadata: map[string]string{"User": ""}}, `Metadata["User"] must be named`},
		{"EmptyMetadataName", "t", &pubsub.Message{Metadata: map[string]string{"": ""}}, `Metadata[""] must be named`},
		{"MetadataValue", "t", &pubsub.Message{Metadata: map[string]string{"user": "a\nb"}}, `Metadata["user"] holds`},
		{"LongMetadataValue", "t", &pubsub.Message{Metadata: map[string]string{"user": long}}, `Metadata["user"] has 10000 bytes`},
		{"ManyMetadata", "t", &pubsub.Message{Metadata: attributes(65, 1)}, "Metadata has 65 entries, at most 64"},
		{"MuchMetadata", "t", &pubsub.Message{Metadata: attributes(9, 8<<10)}, "at most 65536 are allowed"},
		{"TraceTwice", "t", &pubsub.Message{Trace: pubsub.Attributes{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}}, `Trace["a"] is there twice`},
		{"ManyTraceFields", "t", &pubsub.Message{Trace: driver.AttributesOf(attributes(65, 1))}, "Trace has 65 entries, at most 64"},
		{"ReservedCE", "t", &pubsub.Message{Metadata: map[string]string{"ce-id": ""}}, `Metadata["ce-id"] is a name that the kit uses`},
		{"ReservedOurs", "t", &pubsub.Message{Metadata: map[string]string{"mainstay-x": ""}}, "is a name that the kit uses"},
		{"ReservedTrace", "t", &pubsub.Message{Metadata: map[string]string{"baggage": ""}}, "is a name that the kit uses"},
		{"ReservedType", "t", &pubsub.Message{Metadata: map[string]string{"content-type": ""}}, "is a name that the kit uses"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pubsub.Prepare(t.Context(), tt.topic, tt.m, nil)
			var invalid *pubsub.InvalidError
			if !errors.As(err, &invalid) || !resilience.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 500 {
				t.Errorf("Prepare = %v, want a short, permanent *InvalidError that says %q", err, tt.want)
			}
		})
	}
}
