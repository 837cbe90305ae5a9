package httpserver_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkObserve shows what observing adds to a handler: "Bare" is the handler alone.
func BenchmarkObserve(b *testing.B) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	bench := func(name string, h http.Handler) {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/items/42", nil)
			r.Header.Set("X-Correlation-Id", "c-1")
			r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
	bench("Bare", mux)
	o := httpserver.ObserveOptions{
		Logger: slog.New(slog.DiscardHandler), TracerProvider: noop.NewTracerProvider(), Registerer: prometheus.NewRegistry(),
	}
	bench("Metrics", httpserver.Observe(&o)(mux))
	o.TracerProvider, o.Registerer = trace.NewTracerProvider(), prometheus.NewRegistry()
	bench("MetricsAndSpan", httpserver.Observe(&o)(mux))
	o.Logger, o.Registerer = slog.New(slog.NewJSONHandler(nowhere{}, nil)), prometheus.NewRegistry()
	bench("MetricsSpanAndLog", httpserver.Observe(&o)(mux))
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
