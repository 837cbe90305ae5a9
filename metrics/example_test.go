package metrics_test

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
)

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
