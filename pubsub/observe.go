package pubsub

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/resilience"
)

const scope = "github.com/mainstay-go/mainstay/pubsub"

// observer holds a client's instruments. Names are those of the semantic conventions for messaging, in Prometheus
// form, where these have one.
type observer struct {
	tracer      trace.Tracer
	untraced    bool                 // spans do nothing: they are not made, and the trace passes through
	system      []attribute.KeyValue // messaging.system, where the broker says
	send        *metrics.RED
	topics      *destinations
	process     *metrics.RED
	retries     *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	redriven    *prometheus.CounterVec
	moved       *prometheus.CounterVec
	lag         *prometheus.GaugeVec
	oldest      *prometheus.GaugeVec
}

func newObserver(reg prometheus.Registerer, tp trace.TracerProvider, system string) (*observer, error) {
	if reg == nil {
		reg = prometheus.DefaultRegisterer
	}
	o := &observer{tracer: tp.Tracer(scope)}
	_, o.untraced = tp.(noop.TracerProvider)
	if system != "" {
		o.system = []attribute.KeyValue{semconv.MessagingSystemKey.String(system)}
	}
	var errs [9]error
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
	o.redriven, errs[4] = metrics.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mainstay_pubsub_redriven_total",
		Help: "Dead letters put back to the subscription where they died.",
	}, []string{"topic", "subscription"}))
	o.moved, errs[5] = metrics.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mainstay_pubsub_moved_total",
		Help: "Messages that left the process until their next attempt.",
	}, []string{"topic", "subscription"}))
	o.lag, errs[7] = metrics.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "mainstay_pubsub_lag_messages",
		Help: "Messages stored at the broker and not acknowledged, as the broker counts them.",
	}, []string{"topic", "subscription"}))
	o.oldest, errs[8] = metrics.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "mainstay_pubsub_oldest_age_seconds",
		Help: "How long ago the oldest message that is not acknowledged was stored.",
	}, []string{"topic", "subscription"}))
	o.topics, errs[6] = newDestinations(reg)
	return o, errors.Join(errs[:]...)
}

// announce makes a subscription's metrics visible at zero, so that the first failure is an increase, and returns the
// series of attempts that succeed.
func (o *observer) announce(topic, subscription string) *metrics.Series {
	o.retries.WithLabelValues(topic, subscription)
	o.moved.WithLabelValues(topic, subscription)
	for _, reason := range []string{reasonPermanent, reasonExhausted, reasonExpired, reasonDeliveries} {
		o.deadLetters.WithLabelValues(topic, subscription, reason)
	}
	return o.process.With(topic, subscription, "")
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

// errorType classifies err for a label: these nine values, "" for success, and "_OTHER" as the semantic conventions
// call what has no better name.
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
