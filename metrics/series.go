package metrics

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Series is the histogram of one label set of a [RED]. It may be kept for ever, and by whom the label set is known
// beforehand (a route, a method, a topic) it should: an observation then looks nothing up and allocates nothing.
// It is safe for concurrent use.
type Series struct {
	histogram prometheus.Observer
	exemplars prometheus.ExemplarObserver // the same histogram
	turns     turns
	due       []atomic.Int64 // when the next turn of each bucket comes
}

// With returns the series of values, the same one each time. There must be as many values as Labels: it panics
// otherwise. The caller sees to it that they are few ([Values] helps), and keeps the slice.
func (r *RED) With(values ...string) *Series {
	o := r.duration.WithLabelValues(validUTF8(values)...)
	if s, ok := r.series.Load(o); ok {
		return s.(*Series)
	}
	s, _ := r.series.LoadOrStore(o, newSeries(o, r.turns))
	return s.(*Series)
}

func newSeries(o prometheus.Observer, t turns) *Series {
	s := &Series{histogram: o, turns: t, due: make([]atomic.Int64, len(t.bounds)+1)}
	s.exemplars, _ = o.(prometheus.ExemplarObserver)
	return s
}

// Observe records one operation that took d; less than nothing counts as nothing. Where ctx has a sampled span, its
// trace ID becomes the exemplar of the bucket that d falls in, unless that has one of the last second.
func (s *Series) Observe(ctx context.Context, d time.Duration) {
	seconds := max(d, 0).Seconds()
	sc := trace.SpanContextFromContext(ctx)
	if sc.IsSampled() && s.exemplars != nil && s.turns.take(s.due, seconds) {
		s.exemplars.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": sc.TraceID().String()})
		return
	}
	s.histogram.Observe(seconds)
}
