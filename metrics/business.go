package metrics

import (
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter counts what a business cares for, under bounded labels. Its methods are safe for concurrent use, and take
// label values as those of [RED] do: by position, whatever their bytes, with a panic when there are more or fewer than
// labels. On a label set seen before they take no lock and allocate nothing.
type Counter struct {
	vec    *prometheus.CounterVec
	bounds *bounds[prometheus.Counter]
}

// NewCounter registers a counter with reg, nil for prometheus.DefaultRegisterer. A [Counter] that reg has already under
// the same name, labels and help is returned in its place, with its bounds. The same name with other labels or another
// help is an error.
func NewCounter(reg prometheus.Registerer, o Options) (*Counter, error) {
	o, err := o.withDefaults("counter")
	if err != nil {
		return nil, err
	}
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: o.Name, Help: o.Help}, o.Labels)
	b, err := newBounds(reg, o, vec.WithLabelValues)
	if err != nil {
		return nil, err
	}
	return orNil(Register(reg, &Counter{vec: vec, bounds: b}))
}

// Add adds n to the series of values. What a counter cannot take (less than nothing, no number, the infinite) adds
// nothing: an amount may come from outside, and must neither end the process nor spoil the count. Zero makes the series
// appear, so that a rate has something to start from.
func (c *Counter) Add(n float64, values ...string) {
	m := c.bounds.get(values)
	if n >= 0 && finite(n) {
		m.Add(n)
	}
}

// Describe implements prometheus.Collector.
func (c *Counter) Describe(ch chan<- *prometheus.Desc) { c.vec.Describe(ch) }

// Collect implements prometheus.Collector.
func (c *Counter) Collect(ch chan<- prometheus.Metric) { c.vec.Collect(ch) }

// Gauge shows what goes up and down, under bounded labels; see [Counter]. Label sets past the bounds share one series:
// it is the sum of what was added to them, and what was last set of any.
type Gauge struct {
	vec    *prometheus.GaugeVec
	bounds *bounds[prometheus.Gauge]
}

// NewGauge registers a gauge, as [NewCounter] does a counter.
func NewGauge(reg prometheus.Registerer, o Options) (*Gauge, error) {
	o, err := o.withDefaults("gauge")
	if err != nil {
		return nil, err
	}
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: o.Name, Help: o.Help}, o.Labels)
	b, err := newBounds(reg, o, vec.WithLabelValues)
	if err != nil {
		return nil, err
	}
	return orNil(Register(reg, &Gauge{vec: vec, bounds: b}))
}

// Set makes v the value of the series of values.
func (g *Gauge) Set(v float64, values ...string) { g.bounds.get(values).Set(v) }

// Add adds n, which may be less than nothing, to the series of values. What is no finite number adds nothing.
func (g *Gauge) Add(n float64, values ...string) {
	m := g.bounds.get(values)
	if finite(n) {
		m.Add(n)
	}
}

// Describe implements prometheus.Collector.
func (g *Gauge) Describe(ch chan<- *prometheus.Desc) { g.vec.Describe(ch) }

// Collect implements prometheus.Collector.
func (g *Gauge) Collect(ch chan<- prometheus.Metric) { g.vec.Collect(ch) }

// Histogram shows how amounts are spread, under bounded labels; see [Counter]. For how long something took there is
// [RED], which has exemplars.
type Histogram struct {
	vec    *prometheus.HistogramVec
	bounds *bounds[prometheus.Observer]
}

// NewHistogram registers a histogram, as [NewCounter] does a counter. It has native buckets, too, where reg is from
// [NativeHistograms].
func NewHistogram(reg prometheus.Registerer, o Options) (*Histogram, error) {
	o, err := o.withDefaults("histogram")
	if err != nil {
		return nil, err
	}
	native, err := nativeFactor(reg, 0)
	if err != nil {
		return nil, fmt.Errorf("metrics: histogram %q: %w", o.Name, err)
	}
	vec := prometheus.NewHistogramVec(histogramOpts(o.Name, o.Help, o.Buckets, native), o.Labels)
	b, err := newBounds(reg, o, vec.WithLabelValues)
	if err != nil {
		return nil, err
	}
	return orNil(Register(reg, &Histogram{vec: vec, bounds: b}))
}

// Observe puts v into its bucket of the series of values. What is no finite number is left out: the sum would never be
// one again.
func (h *Histogram) Observe(v float64, values ...string) {
	m := h.bounds.get(values)
	if finite(v) {
		m.Observe(v)
	}
}

// Describe implements prometheus.Collector.
func (h *Histogram) Describe(ch chan<- *prometheus.Desc) { h.vec.Describe(ch) }

// Collect implements prometheus.Collector.
func (h *Histogram) Collect(ch chan<- prometheus.Metric) { h.vec.Collect(ch) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// orNil returns c where there is no error, and nil beside one.
func orNil[C any](c *C, err error) (*C, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}
