package pubsub

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/metrics"
)

// maxDestinations bounds the topics that are measured under their own names. Topics are few in good weather; a program
// that makes their names of data (tenants, users) would make series without end.
const maxDestinations = 1000

// destinations holds what is made once for each topic that is published to.
type destinations struct {
	labels *metrics.Values
	mu     sync.Mutex                              // held to replace known
	known  atomic.Pointer[map[string]*destination] // the map is never written once it is here
}

// destination is a topic as it is observed.
type destination struct {
	label  string
	sent   *metrics.Series // calls that succeeded
	span   string
	attrs  []attribute.KeyValue // of a span
	option []trace.SpanStartOption
}

// options are those of the spans of a call with n messages. One option with all attributes costs a span less than two.
func (d *destination) options(n int) []trace.SpanStartOption {
	if n == 1 {
		return d.option
	}
	return spanOptions(append(slices.Clip(d.attrs), semconv.MessagingBatchMessageCount(n)))
}

func spanOptions(attrs []attribute.KeyValue) []trace.SpanStartOption {
	return []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attrs...)}
}

func newDestinations(reg prometheus.Registerer) (*destinations, error) {
	labels, err := metrics.NewValues(reg, "messaging_destination_name", maxDestinations)
	d := &destinations{labels: labels}
	d.known.Store(&map[string]*destination{})
	return d, err
}

// destination returns what there is for topic. Past the bound it is made anew each time, around one series for all.
func (o *observer) destination(topic string) *destination {
	if d := (*o.topics.known.Load())[topic]; d != nil {
		return d
	}
	attrs := append(o.system[:len(o.system):len(o.system)],
		semconv.MessagingOperationName("send"),
		semconv.MessagingOperationTypeSend,
		semconv.MessagingDestinationName(topic),
	)
	label := o.topics.labels.Label(topic)
	d := &destination{
		label: label, sent: o.send.With("send", label, ""), span: "send " + topic,
		attrs: attrs, option: spanOptions(attrs),
	}
	if label == topic {
		o.topics.keep(label, d)
	}
	return d
}

func (ds *destinations) keep(topic string, d *destination) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	known := maps.Clone(*ds.known.Load())
	known[topic] = d
	ds.known.Store(&known)
}

// sending observes one call of Publish: a histogram sample for the call, a producer span for each message.
type sending struct {
	o     *observer
	ctx   context.Context //nolint:containedctx // of the call, for the exemplar; a sending lives no longer than its call
	to    *destination
	began time.Time
	n     int        // spans that were started
	spans []sendSpan // those that are kept
	batch []trace.SpanStartOption
}

// sendSpan is the span of one message of a call.
type sendSpan struct {
	trace.Span
	index int
}

func (o *observer) sending(ctx context.Context, topic string, n int) *sending {
	s := &sending{o: o, ctx: ctx, to: o.destination(topic), began: time.Now()}
	if !o.untraced {
		s.batch = s.to.options(n)
	}
	return s
}

func (s *sending) start(ctx context.Context) (context.Context, trace.Span) {
	index := s.n
	s.n++
	if s.o.untraced {
		return ctx, noop.Span{}
	}
	ctx, span := s.o.tracer.Start(ctx, s.to.span, s.batch...)
	if span.IsRecording() {
		s.spans = append(s.spans, sendSpan{span, index})
	}
	return ctx, span
}

// end closes the spans, those of the messages that err names as failed.
func (s *sending) end(err error) {
	kind := errorType(err)
	var partly *PublishError
	errors.As(err, &partly)
	for _, span := range s.spans {
		if err != nil && (partly == nil || slices.Contains(partly.Indexes, span.index)) {
			failSpan(span, err, kind)
		}
		span.End()
	}
	series := s.to.sent
	if err != nil {
		series = s.o.send.With("send", s.to.label, kind)
	}
	series.Observe(s.ctx, time.Since(s.began))
}
