package pubsub

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/resilience"
)

const scope = "github.com/mainstay-go/mainstay/pubsub"

// observer holds a client's instruments. Names are those of the semantic conventions for messaging, in Prometheus
// form, where these have one.
type observer struct {
	tracer      trace.Tracer
	system      []attribute.KeyValue // messaging.system, where the broker says
	send        *metrics.RED
	process     *metrics.RED
	retries     *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
}

func newObserver(reg prometheus.Registerer, tp trace.TracerProvider, system string) (*observer, error) {
	if reg == nil {
		reg = prometheus.DefaultRegisterer
	}
	o := &observer{tracer: tp.Tracer(scope)}
	if system != "" {
		o.system = []attribute.KeyValue{semconv.MessagingSystemKey.String(system)}
	}
	var errs [4]error
	o.send, errs[0] = metrics.NewRED(reg, metrics.REDOptions{
		Name:   "messaging_client_operation_duration_seconds",
		Help:   "How long a call to the message broker took.",
		Labels: []string{"messaging_operation_name", "messaging_destination_name", "error_type"},
	})
	o.process, errs[1] = metrics.NewRED(reg, metrics.REDOptions{
		Name:           "messaging_process_duration_seconds",
		Help:           "How long one attempt to handle a message took.",
		Labels:         []string{"messaging_destination_name", "messaging_consumer_group_name", "error_type"},
		InFlight:       "mainstay_pubsub_in_flight_messages",
		InFlightHelp:   "Messages received and neither acknowledged nor released: queued, running or waiting for an attempt.",
		InFlightLabels: []string{"topic", "subscription"},
	})
	o.retries, errs[2] = metrics.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mainstay_pubsub_retries_total",
		Help: "Failed attempts that another attempt follows.",
	}, []string{"topic", "subscription"}))
	o.deadLetters, errs[3] = metrics.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mainstay_pubsub_dead_letters_total",
		Help: "Messages stored on a dead-letter topic.",
	}, []string{"topic", "subscription", "reason"}))
	return o, errors.Join(errs[:]...)
}

// announce makes a subscription's counters visible at zero, so that the first failure is an increase.
func (o *observer) announce(topic, subscription string) {
	o.retries.WithLabelValues(topic, subscription)
	for _, reason := range []string{reasonPermanent, reasonExhausted, reasonDeliveries} {
		o.deadLetters.WithLabelValues(topic, subscription, reason)
	}
}

// sending observes one call of Publish: a histogram sample for the call, a producer span for each message.
type sending struct {
	o       *observer
	ctx     context.Context //nolint:containedctx // of the call, for the exemplar; a sending lives no longer than its call
	topic   string
	began   time.Time
	spans   []trace.Span
	options []trace.SpanStartOption
}

func (o *observer) sending(ctx context.Context, topic string, n int) *sending {
	attrs := append(o.system[:len(o.system):len(o.system)],
		semconv.MessagingOperationName("send"),
		semconv.MessagingOperationTypeSend,
		semconv.MessagingDestinationName(topic),
	)
	if n > 1 {
		attrs = append(attrs, semconv.MessagingBatchMessageCount(n))
	}
	return &sending{
		o: o, ctx: ctx, topic: topic, began: time.Now(), spans: make([]trace.Span, 0, n),
		options: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attrs...)},
	}
}

func (s *sending) start(ctx context.Context) (context.Context, trace.Span) {
	ctx, span := s.o.tracer.Start(ctx, "send "+s.topic, s.options...)
	s.spans = append(s.spans, span)
	return ctx, span
}

// end closes the spans, those of the messages that err names as failed.
func (s *sending) end(err error) {
	kind := errorType(err)
	var partly *PublishError
	errors.As(err, &partly)
	for i, span := range s.spans {
		if err != nil && (partly == nil || slices.Contains(partly.Indexes, i)) {
			failSpan(span, err, kind)
		}
		span.End()
	}
	s.o.send.Observe(s.ctx, time.Since(s.began), "send", s.topic, kind)
}

// describe adds what identifies m to its span.
func describe(span trace.Span, m *Message) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		semconv.MessagingMessageID(m.ID),
		semconv.MessagingMessageConversationID(m.CorrelationID),
		semconv.MessagingMessageBodySize(len(m.Data)),
	)
}

func failSpan(span trace.Span, err error, kind string) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, err.Error())
}

// errorType classifies err for a label: few values, "" for success, and "_OTHER" as the semantic conventions call
// what has no better name.
func errorType(err error) string {
	switch {
	case err == nil:
		return ""
	case is[*panicError](err):
		return "panic"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case is[*TooLargeError](err):
		return "too_large"
	case is[*InvalidError](err):
		return "invalid"
	case is[*DecodeError](err):
		return "decode"
	case resilience.IsPermanent(err):
		return "permanent"
	}
	return "_OTHER"
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
