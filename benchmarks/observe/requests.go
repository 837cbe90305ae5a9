package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

const userPattern = "GET /users/{id}"

func nothing(http.ResponseWriter, *http.Request) {}

// requestTables have a request that is measured, and does nothing.
func requestTables() ([]table, error) {
	kit, err := kitRequest()
	if err != nil {
		return nil, fmt.Errorf("mainstay: %w", err)
	}
	prom, err := promhttpRequest()
	if err != nil {
		return nil, fmt.Errorf("promhttp: %w", err)
	}
	otel, err := otelhttpRequest()
	if err != nil {
		return nil, fmt.Errorf("otelhttp: %w", err)
	}
	const title = "a request that is measured: duration by route and status, requests under way (mainstay does more)"
	return []table{
		{title, "promhttp", []contest{{"measured request", kit, prom, target{}}}},
		{title, "otelhttp", []contest{{"measured request", kit, otel, target{}}}},
	}, nil
}

// caller returns a call of h as net/http does it, with the same request and writer each time.
func caller(h http.Handler, header http.Header) func() {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://users/users/42", http.NoBody)
	if err != nil {
		panic("observe: " + err.Error()) // it is the same request each time
	}
	r.Header = header
	w := &writer{header: http.Header{}}
	return func() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

// writer takes an answer without a body.
type writer struct{ header http.Header }

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(int)             {}
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }

// sent is the header of a request that has an ID.
func sent() http.Header { return http.Header{correlation.Header: {correlationID}} }

func userMux(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(userPattern, h)
	return mux
}

func kitRequest() (func(), error) {
	reg := prometheus.NewRegistry()
	call := caller(httpserver.Observe(&httpserver.ObserveOptions{
		Logger: slog.New(slog.DiscardHandler), TracerProvider: noop.NewTracerProvider(), Registerer: reg,
	})(userMux(http.HandlerFunc(nothing))), sent())
	call()
	return call, oneRequest(reg)
}

func promhttpRequest() (func(), error) {
	reg := prometheus.NewRegistry()
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: durationName, Help: "Duration of HTTP server requests.", Buckets: metrics.DurationBuckets(),
	}, []string{"method", "http_route", "code"})
	active := prometheus.NewGauge(prometheus.GaugeOpts{Name: activeName, Help: "Active HTTP server requests."})
	reg.MustRegister(durations, active)
	route := durations.MustCurryWith(prometheus.Labels{"http_route": "/users/{id}"})
	call := caller(userMux(promhttp.InstrumentHandlerInFlight(active,
		promhttp.InstrumentHandlerDuration(route, http.HandlerFunc(nothing)))), sent())
	call()
	return call, oneRequest(reg)
}

// oneRequest reports where reg does not hold one request under its route, ended.
func oneRequest(reg prometheus.Gatherer) error {
	h, err := only(reg, durationName)
	if err != nil {
		return err
	}
	route := ""
	for _, l := range h.GetLabel() {
		if l.GetName() == "http_route" {
			route = l.GetValue()
		}
	}
	if n := h.GetHistogram().GetSampleCount(); n != 1 || route != "/users/{id}" {
		return fmt.Errorf("got %v, want one request", h)
	}
	return nil
}

func otelhttpRequest() (func(), error) {
	reader := sdkmetric.NewManualReader()
	call := caller(otelhttp.NewHandler(userMux(http.HandlerFunc(nothing)), "http",
		otelhttp.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
		otelhttp.WithTracerProvider(noop.NewTracerProvider())), sent())
	call()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		return nil, err
	}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok || m.Name != "http.server.request.duration" {
				continue
			}
			route, _ := h.DataPoints[0].Attributes.Value("http.route")
			if h.DataPoints[0].Count == 1 && route.AsString() == "/users/{id}" {
				return call, nil
			}
		}
	}
	return nil, fmt.Errorf("got %v, want the duration of one request under its route", all.ScopeMetrics)
}
