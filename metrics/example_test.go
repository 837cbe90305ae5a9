package metrics_test

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
)

// A registry without exemplars, for the OTLP bridge.
func Example_withoutExemplars() {
	withoutExemplars := func(g prometheus.Gatherer) prometheus.Gatherer {
		return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			families, err := g.Gather()
			for _, f := range families {
				for _, m := range f.GetMetric() {
					for _, b := range m.GetHistogram().GetBucket() {
						b.Exemplar = nil
					}
				}
			}
			return families, err
		})
	}

	reg := prometheus.NewRegistry()
	red, err := metrics.NewRED(reg, metrics.REDOptions{Name: "job_run_duration_seconds", Help: "Time a job took."})
	if err != nil {
		fmt.Println(err)
		return
	}
	sampled := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	}))
	red.Observe(sampled, time.Millisecond)

	for _, g := range []prometheus.Gatherer{reg, withoutExemplars(reg)} {
		families, _ := g.Gather()
		fmt.Println(families[0].GetMetric()[0].GetHistogram().GetBucket()[0].GetExemplar() != nil)
	}
	// Output:
	// true
	// false
}

func ExampleNewRED() {
	reg := prometheus.NewRegistry() // or nil, for the default one
	red, err := metrics.NewRED(reg, metrics.REDOptions{
		Name:     "job_run_duration_seconds",
		Help:     "Time that one run of a job took.",
		Labels:   []string{"job", "error_type"},
		InFlight: "job_active_runs", InFlightHelp: "Runs under way.", InFlightLabels: []string{"job"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	active := red.InFlight("reindex")
	active.Inc()
	red.Observe(context.Background(), 30*time.Millisecond, "reindex", "")
	active.Dec()

	families, _ := reg.Gather()
	for _, f := range families {
		fmt.Println(f.GetName(), f.GetType())
	}
	// Output:
	// job_active_runs GAUGE
	// job_run_duration_seconds HISTOGRAM
}

func ExampleValues() {
	tenants, err := metrics.NewValues(prometheus.NewRegistry(), "tenant", 2) // kept for the life of the process
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tenant := range []string{"ada", "bo", "mallory-1", "mallory-2", "ada"} {
		fmt.Println(tenants.Label(tenant))
	}
	// Output:
	// ada
	// bo
	// __other__
	// __other__
	// ada
}

func ExampleNewCounter() {
	orders, err := metrics.NewCounter(prometheus.NewRegistry(), metrics.Options{
		Name:   "shop_orders_placed_total",
		Help:   "Orders that were placed.",
		Labels: []string{"tenant", "channel"}, // a hundred values each, a thousand series together
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders.Add(1, "ada", "web")
}

func ExampleNativeHistograms() {
	reg := prometheus.NewRegistry()
	if err := metrics.RegisterRuntime(reg); err != nil { // build_info, go_*, process_*
		fmt.Println(err)
		return
	}
	// The Registerer of servers, clients and databases; reg itself is what the scrape handler shows.
	registerer := metrics.NativeHistograms(reg, 1.1)
	red, err := metrics.NewRED(registerer, metrics.REDOptions{Name: "job_run_duration_seconds", Help: "Time a job took."})
	if err != nil {
		fmt.Println(err)
		return
	}
	red.Observe(context.Background(), time.Second)
}
