package pubsub_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// traced is a bench that records spans, and logs each record with the correlation ID of its context.
func traced(t *testing.T, b driver.Broker) (*bench, *tracetest.SpanRecorder, trace.Tracer) {
	rec := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
	logs, reg := &lockedBuffer{}, prometheus.NewRegistry()
	client := pubsub.NewClient(b, &pubsub.Options{
		Source: "/test", Registerer: reg, TracerProvider: tp, Logger: slog.New(withCorrelation{slog.NewTextHandler(logs, nil)}),
	})
	return &bench{t: t, logs: logs, reg: reg, client: client}, rec, tp.Tracer("test")
}

type withCorrelation struct{ slog.Handler }

func (h withCorrelation) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.String("correlation_id", correlation.FromContext(ctx)))
	return h.Handler.Handle(ctx, r)
}

func (h withCorrelation) WithAttrs(as []slog.Attr) slog.Handler {
	return withCorrelation{h.Handler.WithAttrs(as)}
}

func spanNamed(t *testing.T, rec *tracetest.SpanRecorder, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	for _, s := range rec.Ended() {
		if s.Name() == name {
			return s
		}
	}
	t.Fatalf("no span %q", name)
	return nil
}

func attr(s sdktrace.ReadOnlySpan, key string) string {
	for _, a := range s.Attributes() {
		if a.Key == attribute.Key(key) {
			return a.Value.String()
		}
	}
	return ""
}

func TestOneTraceAndOneCorrelationIDAlongTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, rec, tracer := traced(t, &mempubsub.Broker{})
		letters, stopLetters := b.collect("reserved.dead-letter.shipping")
		defer stopLetters()
		// orders -> stock publishes reserved -> shipping fails until its dead letter.
		stopStock := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, m *pubsub.Message) error {
			return b.client.Publish(ctx, "reserved", &pubsub.Message{ID: "second"})
		}, nil))
		var seen []string
		stopShipping := run(t, b.client.Subscribe("reserved", "shipping", func(ctx context.Context, m *pubsub.Message) error {
			seen = append(seen, correlation.FromContext(ctx)+" "+m.CorrelationID+" "+m.CausationID)
			if pubsub.MessageFrom(ctx) != m {
				t.Error("MessageFrom does not give the handler's message")
			}
			return errors.New("boom")
		}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 3}}))

		ctx, root := tracer.Start(correlation.NewContext(t.Context(), "c-1"), "POST /orders")
		if err := b.client.Publish(ctx, "orders", &pubsub.Message{ID: "first"}); err != nil {
			t.Fatal(err)
		}
		root.End()
		pass(time.Hour)
		for _, stop := range []func() error{stopStock, stopShipping} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}

		if want := "c-1 c-1 first, c-1 c-1 first, c-1 c-1 first"; strings.Join(seen, ", ") != want {
			t.Errorf("attempts saw %v, want %s", seen, want)
		}
		if l := letters(); len(l) != 1 || l[0].CorrelationID != "c-1" {
			t.Errorf("dead letters %+v, want one of c-1", l)
		}
		lines := strings.Split(strings.TrimSpace(b.logs.String()), "\n")
		if len(lines) != 3 {
			t.Errorf("%d log lines, want two retries and a dead letter:\n%s", len(lines), b.logs)
		}
		for _, line := range lines {
			if !strings.Contains(line, "correlation_id=c-1") || !strings.Contains(line, "message_id=second") || !strings.Contains(line, "boom") {
				t.Errorf("log line %q, want correlation ID, message ID and error", line)
			}
		}

		parents := map[string]string{
			"send orders": "POST /orders", "process orders": "send orders", "send reserved": "process orders",
			"process reserved": "send reserved", "send reserved.dead-letter.shipping": "send reserved",
		}
		for child, parent := range parents {
			c, p := spanNamed(t, rec, child), spanNamed(t, rec, parent)
			if c.SpanContext().TraceID() != root.SpanContext().TraceID() || c.Parent().SpanID() != p.SpanContext().SpanID() {
				t.Errorf("%q is no child of %q in the request's trace", child, parent)
			}
		}
		p := spanNamed(t, rec, "process reserved")
		if p.SpanKind() != trace.SpanKindConsumer || p.Status().Code != codes.Error || attr(p, "error.type") != "_OTHER" ||
			attr(p, "messaging.message.id") != "second" || attr(p, "messaging.system") != "in_memory" ||
			attr(p, "messaging.consumer.group.name") != "shipping" || attr(p, "messaging.message.conversation_id") != "c-1" {
			t.Errorf("process span: kind %v, status %v, attributes %v", p.SpanKind(), p.Status(), p.Attributes())
		}
		if s := spanNamed(t, rec, "send orders"); s.SpanKind() != trace.SpanKindProducer || attr(s, "messaging.destination.name") != "orders" {
			t.Errorf("send span: kind %v, attributes %v", s.SpanKind(), s.Attributes())
		}
	})
}

func TestPreparedMessageKeepsItsTraceAndCorrelation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, rec, tracer := traced(t, &mempubsub.Broker{})
		got, stop := b.collect("orders")
		defer stop()
		// What an outbox does: prepare in the request, publish from a relay that has a trace of its own.
		ctx, request := tracer.Start(correlation.NewContext(t.Context(), "c-1"), "POST /orders")
		stored, err := pubsub.Prepare(ctx, "orders", &pubsub.Message{Key: "k"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.End()
		relayCtx, relay := tracer.Start(correlation.NewContext(t.Context(), "relay"), "relay")
		if err := b.client.Publish(relayCtx, "orders", stored, &pubsub.Message{ID: "its own"}); err != nil {
			t.Fatal(err)
		}
		relay.End()
		pass(time.Second)
		for _, m := range got() {
			want, wantTrace := "c-1", request.SpanContext().TraceID().String()
			if m.ID == "its own" {
				want, wantTrace = "relay", relay.SpanContext().TraceID().String()
			} else if send := spanNamed(t, rec, "send orders"); !strings.Contains(m.Trace.Get("traceparent"), send.SpanContext().SpanID().String()) {
				t.Errorf("the stored message has trace %v, want its send span %s", m.Trace, send.SpanContext().SpanID())
			}
			if m.CorrelationID != want || !strings.Contains(m.Trace.Get("traceparent"), wantTrace) {
				t.Errorf("message %s has correlation ID %s and trace %v, want %s and %s", m.ID, m.CorrelationID, m.Trace, want, wantTrace)
			}
		}
		s := spanNamed(t, rec, "send orders")
		if s.Parent().SpanID() != request.SpanContext().SpanID() {
			t.Error("the stored message's send span is no child of the request's")
		}
	})
}

func TestHostileCorrelationIDCannotBreakAnOutgoingCall(t *testing.T) {
	const evil = "abc\r\nX-Evil: 1"
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer srv.Close()
	mem := &mempubsub.Broker{}
	b, _, _ := traced(t, mem)
	handled := make(chan error, 1)
	stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, m *pubsub.Message) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
		if err != nil {
			return err
		}
		req.Header.Set(correlation.Header, correlation.FromContext(ctx))
		for k, v := range m.Metadata {
			req.Header.Set(k, v)
		}
		res, err := srv.Client().Do(req)
		if err == nil {
			err = res.Body.Close()
		}
		handled <- err
		return errors.New("log me")
	}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 1}}))
	err := mem.Publish(t.Context(), "orders", []driver.Message{{Attributes: driver.AttributesOf(map[string]string{
		"ce-correlationid": evil, "ce-id": "m-1", "user": evil, "X-Evil": "2", "traceparent": evil,
	})}})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-handled; err != nil {
		t.Errorf("the outgoing request: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	ids := got.Values(correlation.Header)
	if len(ids) != 1 || !correlation.Valid(ids[0]) || ids[0] == evil || got.Get("X-Evil") != "" {
		t.Errorf("outgoing headers %v, want one valid correlation ID and no X-Evil", got)
	}
	if strings.Count(b.logs.String(), "\n") != 1 {
		t.Errorf("logged more than one line:\n%s", b.logs)
	}
}

func TestStrangersMessageIsHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := &mempubsub.Broker{}
		b := newBench(t, mem)
		var attempts []*pubsub.Message
		stop := run(t, b.client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
			attempts = append(attempts, m)
			if m.Attempt < 2 {
				return errors.New("again")
			}
			return nil
		}, nil))
		if err := mem.Publish(t.Context(), "orders", []driver.Message{{Data: []byte("hello")}}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if len(attempts) != 2 {
			t.Fatalf("%d attempts, want 2", len(attempts))
		}
		for _, m := range attempts {
			if m.ID != "orders/1" || !correlation.Valid(m.CorrelationID) || m.CorrelationID != attempts[0].CorrelationID || m.Time.IsZero() {
				t.Errorf("message %+v, want an ID from its position and one correlation ID", m)
			}
		}
	})
}

func TestPublishIsMeasured(t *testing.T) {
	b, rec, _ := traced(t, sizeLimit{&mempubsub.Broker{}, 300})
	b.publish("orders", &pubsub.Message{}, &pubsub.Message{})
	if err := b.client.Publish(t.Context(), "orders", &pubsub.Message{Data: make([]byte, 500)}); err == nil {
		t.Fatal("Publish of a large message = nil")
	}
	const name = "messaging_client_operation_duration_seconds"
	ok := b.metric(name, "messaging_operation_name", "send", "messaging_destination_name", "orders", "error_type", "")
	large := b.metric(name, "messaging_operation_name", "send", "error_type", "too_large")
	if ok != 1 || large != 1 {
		t.Errorf("%v calls without error and %v too large, want 1 and 1", ok, large)
	}
	if n := len(rec.Ended()); n != 3 {
		t.Errorf("%d spans, want one a message", n)
	}
}

func TestClientWithForeignMetric(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "mainstay_pubsub_retries_total", Help: "of somebody else"}))
	c := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: reg})
	sub := c.Subscribe("t", "s", func(context.Context, *pubsub.Message) error { return nil }, nil)
	for what, err := range map[string]error{
		"Publish": c.Publish(t.Context(), "t", &pubsub.Message{}), "Declare": c.Declare(t.Context()),
		"Ping": c.Ping(t.Context()), "Run": sub.Run(t.Context()),
	} {
		if err == nil {
			t.Errorf("%s = nil, want an error that says which metric is in the way", what)
		}
	}
}

func TestTwoClientsShareARegisterer(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		c := pubsub.NewClient(&mempubsub.Broker{}, &pubsub.Options{Registerer: reg})
		if err := c.Publish(t.Context(), "t", &pubsub.Message{}); err != nil {
			t.Error(err)
		}
	}
}
