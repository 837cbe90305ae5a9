package pubsub_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

// listed is trace context, and of baggage the members that it names.
type listed struct {
	propagation.TraceContext
	keys []string
}

func (l listed) Fields() []string { return append(l.TraceContext.Fields(), "baggage") }

func (l listed) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	l.TraceContext.Inject(ctx, c)
	propagation.Baggage{}.Inject(l.sieve(ctx), c)
}

func (l listed) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	return l.sieve(propagation.Baggage{}.Extract(l.TraceContext.Extract(ctx, c), c))
}

func (l listed) sieve(ctx context.Context) context.Context {
	all, kept := baggage.FromContext(ctx), baggage.Baggage{}
	for _, k := range l.keys {
		if m := all.Member(k); m.Key() != "" {
			kept, _ = kept.SetMember(m)
		}
	}
	return baggage.ContextWithBaggage(ctx, kept)
}

func withBaggage(t *testing.T, members string) context.Context {
	t.Helper()
	b, err := baggage.Parse(members)
	if err != nil {
		t.Fatal(err)
	}
	return baggage.ContextWithBaggage(t.Context(), b)
}

// TestBaggageLeavesOnlyAsThePropagatorSays, in a message that is new, and in one that is passed on as it came.
func TestBaggageLeavesOnlyAsThePropagatorSays(t *testing.T) {
	const all = "tenant=a,card=4711"
	for _, tt := range []struct {
		name string
		p    propagation.TextMapPropagator
		want string
	}{
		{"NoneByDefault", nil, ""},
		{"WhatIsListed", listed{keys: []string{"tenant"}}, "tenant=a"},
		{"NothingThatIsNotListed", listed{keys: []string{"user"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := &mempubsub.Broker{}
			sub, err := mem.Subscribe(t.Context(), driver.SubscribeOptions{
				Topic: "t", Name: "s", Lease: time.Minute, MaxInFlight: 10,
			})
			if err != nil {
				t.Fatal(err)
			}
			c := pubsub.NewClient(mem, &pubsub.Options{Registerer: prometheus.NewRegistry(), Propagator: tt.p})
			passedOn := &pubsub.Message{Trace: driver.AttributesOf(map[string]string{"baggage": all})}
			for _, m := range []*pubsub.Message{{}, passedOn} {
				prepared, err := pubsub.Prepare(withBaggage(t, all), "t", m, tt.p)
				if err != nil || prepared.Trace.Get("baggage") != tt.want {
					t.Errorf("Prepare = %+v, %v; want the baggage %q", prepared, err, tt.want)
				}
				if err := c.Publish(withBaggage(t, all), "t", m); err != nil {
					t.Fatal(err)
				}
				ds, err := sub.Receive(t.Context(), 1)
				if err != nil || len(ds) != 1 {
					t.Fatalf("Receive = %v, %v; want one message", ds, err)
				}
				for k, v := range ds[0].Attributes.Map() {
					if k == "baggage" && v != tt.want || k != "baggage" && strings.Contains(v, "4711") {
						t.Errorf("sent %s = %q, want no baggage but %q", k, v, tt.want)
					}
				}
				if got := ds[0].Attributes.Get("baggage"); got != tt.want {
					t.Errorf("sent the baggage %q, want %q", got, tt.want)
				}
			}
			if passedOn.Trace.Get("baggage") != all {
				t.Error("the message of the caller's was changed")
			}
		})
	}
}

// amazon writes a name in upper case, as the propagator of X-Ray does, beside one field that no message may carry.
type amazon struct{}

const amazonField = "X-Amzn-Trace-Id"

func (amazon) Fields() []string { return []string{amazonField} }

func (amazon) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	sc := trace.SpanContextFromContext(ctx)
	c.Set(amazonField, sc.TraceID().String()+sc.SpanID().String())
	c.Set("X-Evil", "a\r\nb")
	c.Set("X-Long", strings.Repeat("x", 9<<10))
}

func (amazon) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	v := c.Get(amazonField)
	if len(v) != 48 {
		return ctx
	}
	traceID, err1 := trace.TraceIDFromHex(v[:32])
	spanID, err2 := trace.SpanIDFromHex(v[32:])
	if errors.Join(err1, err2) != nil {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

// TestTraceFieldsOfAnyConvention: a propagator's names and values keep no message from being sent, and the trace goes
// on at the other end.
func TestTraceFieldsOfAnyConvention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := sdktrace.NewTracerProvider()
		c := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{
			Registerer: prometheus.NewRegistry(), TracerProvider: tp, Propagator: amazon{},
		})
		var handled trace.SpanContext
		var got *pubsub.Message
		stop := run(t, c.Subscribe("orders", "s", func(ctx context.Context, m *pubsub.Message) error {
			handled, got = trace.SpanContextFromContext(ctx), m
			return nil
		}, nil))
		ctx, root := tp.Tracer("test").Start(t.Context(), "request")
		if err := c.Publish(ctx, "orders", &pubsub.Message{}); err != nil {
			t.Fatalf("Publish: %v", err)
		}
		root.End()
		pass(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got == nil || handled.TraceID() != root.SpanContext().TraceID() {
			t.Fatalf("handled %+v in trace %v, want trace %v", got, handled.TraceID(), root.SpanContext().TraceID())
		}
		if got.Trace.Get("x-amzn-trace-id") == "" || len(got.Trace) != 1 || len(got.Metadata) != 0 {
			t.Errorf("trace %v and metadata %v, want the one field, and none", got.Trace, got.Metadata)
		}
	})
}
