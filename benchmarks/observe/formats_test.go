package main

import (
	"net/http"
	"testing"

	prombridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/contrib/propagators/aws/xray"
	"go.opentelemetry.io/contrib/propagators/b3"
	"go.opentelemetry.io/contrib/propagators/jaeger"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing"
)

// What the documents of packages tracing and metrics say of values of others is held here, in a module that may require
// them.

func TestOtherFormats(t *testing.T) {
	p, err := tracing.Setup(t.Context(), &tracing.Options{ServiceName: "orders", Propagators: []propagation.TextMapPropagator{
		b3.New(), b3.New(b3.WithInjectEncoding(b3.B3MultipleHeader)), jaeger.Jaeger{}, xray.Propagator{},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := p.TracerProvider().Tracer("test").Start(t.Context(), "work")
	defer span.End()
	sent := http.Header{}
	p.Propagator().Inject(ctx, propagation.HeaderCarrier(sent))
	for name, headers := range map[string][]string{
		"B3": {"B3"}, "B3Multiple": {"X-B3-Traceid", "X-B3-Spanid", "X-B3-Sampled"}, "Jaeger": {"Uber-Trace-Id"},
		"XRay": {"X-Amzn-Trace-Id"}, "W3C": {"Traceparent"},
	} {
		t.Run(name, func(t *testing.T) {
			alone := http.Header{}
			for _, h := range headers {
				alone[h] = sent[h]
			}
			got := trace.SpanContextFromContext(p.Propagator().Extract(t.Context(), propagation.HeaderCarrier(alone)))
			if want := span.SpanContext(); got.TraceID() != want.TraceID() || got.SpanID() != want.SpanID() || !got.IsSampled() {
				t.Errorf("%v: got %v, want that of %v", alone, got, want)
			}
		})
	}
}

func TestMetricsOverOTLP(t *testing.T) {
	reg := prometheus.NewRegistry()
	red, err := metrics.NewRED(reg, metrics.REDOptions{Name: "job_duration_seconds", Help: "Time of a job."})
	if err != nil {
		t.Fatal(err)
	}
	red.Observe(t.Context(), 1)
	reader := sdkmetric.NewManualReader(sdkmetric.WithProducer(prombridge.NewMetricProducer(prombridge.WithGatherer(reg))))
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if n := len(got.ScopeMetrics); n != 1 || got.ScopeMetrics[0].Metrics[0].Name != "job_duration_seconds" {
		t.Errorf("got %+v, want job_duration_seconds", got.ScopeMetrics)
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
