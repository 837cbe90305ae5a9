package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/mainstay-go/mainstay/metrics"
)

const (
	durationName = "http_server_request_duration_seconds"
	activeName   = "http_server_active_requests"
	took         = 20 * time.Millisecond
)

// redTables have one observation of a request whose series are known. Its trace is not kept: one that is leaves an
// exemplar a second, which the bare instruments cannot.
func redTables() ([]table, error) {
	kit, bare := prometheus.NewRegistry(), prometheus.NewRegistry()
	ours, err := kitObservation(tracedContext(), kit)
	if err != nil {
		return nil, err
	}
	theirs := bareObservation(bare)
	ours()
	theirs()
	if err := sameSamples(kit, bare); err != nil {
		return nil, err
	}
	return []table{{"a RED observation: gauge up, histogram, gauge down", "client_golang", []contest{
		{"RED observation", ours, theirs, target{above: 20, clean: true}},
	}}}, nil
}

func kitObservation(ctx context.Context, reg prometheus.Registerer) (func(), error) {
	red, err := metrics.NewRED(reg, metrics.REDOptions{
		Name: durationName, Help: "Duration of HTTP server requests.", Labels: []string{"method", "route", "code"},
		InFlight: activeName, InFlightHelp: "Active HTTP server requests.", InFlightLabels: []string{"method"},
	})
	if err != nil {
		return nil, err
	}
	active, series := red.InFlight("GET"), red.With("GET", "/users/{id}", "200")
	return func() {
		active.Inc()
		series.Observe(ctx, took)
		active.Dec()
	}, nil
}

func bareObservation(reg prometheus.Registerer) func() {
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: durationName, Help: "Duration of HTTP server requests.", Buckets: metrics.DurationBuckets(),
	}, []string{"method", "route", "code"})
	actives := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: activeName, Help: "Active HTTP server requests.",
	}, []string{"method"})
	reg.MustRegister(durations, actives)
	active, series := actives.WithLabelValues("GET"), durations.WithLabelValues("GET", "/users/{id}", "200")
	return func() {
		active.Inc()
		series.Observe(took.Seconds())
		active.Dec()
	}
}

// sameSamples reports where the two do not hold one request that has ended, in the same bucket.
func sameSamples(kit, other prometheus.Gatherer) error {
	for _, g := range []prometheus.Gatherer{kit, other} {
		h, err := only(g, durationName)
		if err != nil {
			return err
		}
		var below uint64 // a bucket that the observation is not in
		for _, b := range h.GetHistogram().GetBucket() {
			if b.GetUpperBound() < took.Seconds() {
				below = max(below, b.GetCumulativeCount())
			}
		}
		if n := h.GetHistogram().GetSampleCount(); n != 1 || below != 0 || len(h.GetLabel()) != 3 {
			return fmt.Errorf("got %v, want one sample of %v", h, took)
		}
		active, err := only(g, activeName)
		if err != nil {
			return err
		}
		if v := active.GetGauge().GetValue(); v != 0 {
			return fmt.Errorf("got %v active requests, want none", v)
		}
	}
	return nil
}

// only returns the one series of a family.
func only(g prometheus.Gatherer, family string) (*dto.Metric, error) {
	families, err := g.Gather()
	if err != nil {
		return nil, err
	}
	for _, f := range families {
		if f.GetName() == family && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0], nil
		}
	}
	return nil, fmt.Errorf("not one series of %q in %v", family, families)
}
