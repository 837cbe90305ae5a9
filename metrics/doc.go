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
// Beside them: [NewCounter], [NewGauge] and [NewHistogram] for what a business counts, under bounded labels;
// [RegisterRuntime] for the build, the Go runtime and the process; [NativeHistograms] for native buckets beside the
// classic ones; [Handler] for the scrape.
//
// # What it promises
//
// A label value from outside never panics, whatever its bytes. Two servers of one process share instruments instead of
// failing on the second registration ([Register]). A label filled from outside makes a bounded number of series
// ([Values], [Options]): past the bound its value is "__other__", and metrics_label_values_overflowed_total says of
// which label. A scrape shows exemplars, and one broken collector does not hide the others.
//
// # What it does not
//
// It starts no server and pushes nothing. It measures nothing of its own accord either; the packages that have
// requests, messages and queries do.
//
// # Pushing over OTLP
//
// Who pushes metrics to an OpenTelemetry collector gives the registry to the bridge of OpenTelemetry's contrib
// repository, which is not among the requirements of this module:
//
//	import prombridge "go.opentelemetry.io/contrib/bridges/prometheus"
//
//	producer := prombridge.NewMetricProducer(prombridge.WithGatherer(withoutExemplars(reg)))
//	reader := sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithProducer(producer)) // of otlpmetricgrpc or -http
//	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(res))
//	defer provider.Shutdown(ctx) // pushes once more
//
// A histogram of classic buckets arrives as one of explicit bounds, one with native buckets as an exponential one.
//
// The exemplars have to stay behind (withoutExemplars is an example of this package): as of v0.72.0 the bridge sends
// the 32 hexadecimal digits of a trace ID in the place of its 16 bytes, and the collector refuses the whole push.
package metrics
