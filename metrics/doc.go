// Package metrics makes RED instruments (rate, errors, duration) on client_golang: one histogram that counts, times
// and classifies, and one gauge of what is in flight, under the names of the OpenTelemetry semantic conventions.
//
//	red, err := metrics.NewRED(nil, metrics.REDOptions{
//		Name:   "job_run_duration_seconds",
//		Help:   "Time that one run of a job took.",
//		Labels: []string{"job", "error_type"},
//	})
//	…
//	red.Observe(ctx, time.Since(start), "reindex", "")
//
// Where the labels are known beforehand, [RED.With] resolves them once, and [Series.Observe] then allocates nothing.
//
// What it promises: a label value from outside never panics, whatever its bytes ([RED]); two servers of one process
// share instruments instead of failing on the second registration ([Register]); a label filled from outside makes a
// bounded number of series ([Values]); a scrape shows exemplars, and one broken collector does not hide the others
// ([Handler]).
//
// What it does not: it starts no server and pushes nothing. It measures nothing of its own accord either; the packages
// that have requests, messages and queries do.
package metrics
