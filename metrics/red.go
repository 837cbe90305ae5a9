// Package metrics makes RED instruments (rate, errors, duration) on client_golang: one histogram that counts, times
// and classifies, and one gauge of what is in flight, under the names of the OpenTelemetry semantic conventions.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// DurationBuckets are the bucket bounds, in seconds, that the semantic conventions advise for request durations.
func DurationBuckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// REDOptions names what a [RED] measures.
type REDOptions struct {
	// Name of the duration histogram, such as "http_server_request_duration_seconds". Required.
	Name string
	// Help of the histogram. Required.
	Help string
	// Labels of the histogram, in the order in which Observe takes their values.
	Labels []string
	// Buckets in seconds. Nil means [DurationBuckets].
	Buckets []float64
	// InFlight names the gauge of what has begun and not ended, such as "http_server_active_requests". "" means none.
	InFlight string
	// InFlightHelp is the help of the gauge.
	InFlightHelp string
	// InFlightLabels of the gauge, in the order in which InFlight takes their values.
	InFlightLabels []string
}

// RED is a set of instruments. Its methods are safe for concurrent use.
type RED struct {
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
}

// NewRED registers the instruments with reg, nil for prometheus.DefaultRegisterer. Instruments that reg has already
// under the same names and labels are shared, so that two servers of one process need no names of their own.
func NewRED(reg prometheus.Registerer, o REDOptions) (*RED, error) {
	if reg == nil {
		reg = prometheus.DefaultRegisterer
	}
	if o.Buckets == nil {
		o.Buckets = DurationBuckets()
	}
	r := &RED{}
	var err error
	r.duration, err = Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: o.Name, Help: o.Help, Buckets: o.Buckets,
	}, o.Labels))
	if err != nil {
		return nil, err
	}
	if o.InFlight == "" {
		return r, nil
	}
	r.inFlight, err = Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: o.InFlight, Help: o.InFlightHelp,
	}, o.InFlightLabels))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Register registers c with reg and returns it, or the equal collector that reg has already.
func Register[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	err := reg.Register(c)
	var dup prometheus.AlreadyRegisteredError
	if errors.As(err, &dup) {
		if existing, ok := dup.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("metrics: register: %w", err)
	}
	return c, nil
}

// Observe records one operation that took d. There must be as many values as Labels; each is made valid UTF-8, and
// the caller sees to it that they are few ([Values] helps). Where ctx has a sampled span, its trace ID becomes the
// exemplar.
func (r *RED) Observe(ctx context.Context, d time.Duration, values ...string) {
	for i, v := range values {
		values[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	o := r.duration.WithLabelValues(values...)
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		if eo, ok := o.(prometheus.ExemplarObserver); ok {
			eo.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": sc.TraceID().String()})
			return
		}
	}
	o.Observe(d.Seconds())
}

// InFlight returns the gauge for values, to be incremented at the beginning and decremented at the end. The options
// must have named one.
func (r *RED) InFlight(values ...string) prometheus.Gauge {
	return r.inFlight.WithLabelValues(values...)
}
