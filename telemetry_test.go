package mainstay_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// exporter is the way to a collector that does as the function does.
type exporter func(context.Context) error

func (f exporter) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error { return f(ctx) }
func (f exporter) Shutdown(ctx context.Context) error                               { return f(ctx) }

// TestDeadCollectorHoldsUpNothing serves more requests than there is room for spans, and stops the process. In a bubble
// whoever waits for the collector shows by the time that passes: none while it serves, ShutdownTimeout once in the end.
func TestDeadCollectorHoldsUpNothing(t *testing.T) {
	for name, c := range map[string]struct {
		export func(release <-chan struct{}) exporter
		stop   time.Duration
	}{
		"Refuses": {func(<-chan struct{}) exporter {
			return func(context.Context) error { return errors.New("connection refused") }
		}, 0},
		"Hangs": {func(<-chan struct{}) exporter {
			return func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}, 2 * time.Second},
		"IgnoresItsContext": {func(release <-chan struct{}) exporter {
			return func(context.Context) error { <-release; return nil }
		}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				serveAndStop(t, c.export(release), c.stop)
			})
		})
	}
}

func serveAndStop(t *testing.T, e exporter, want time.Duration) {
	quiet := slog.New(slog.DiscardHandler)
	spans, err := tracing.Setup(t.Context(), &tracing.Options{
		ServiceName: "orders", Exporter: e, ShutdownTimeout: 2 * time.Second, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	h := httpserver.Observe(&httpserver.ObserveOptions{
		TracerProvider: spans.TracerProvider(), Registerer: prometheus.NewRegistry(), Logger: quiet,
	})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	serve := func() {
		begun := time.Now()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		if took := time.Since(begun); took != 0 {
			t.Errorf("a request took %v, want none of the collector's time", took)
		}
	}
	const requests, late = 5000, 10
	server := mainstay.RunnerFunc(func(ctx context.Context) error {
		<-ctx.Done()
		for range late { // that had begun
			serve()
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	o := &mainstay.Options{Logger: quiet, Signals: []os.Signal{}}
	go func() { ended <- mainstay.Run(ctx, o, spans, server) }()
	synctest.Wait()
	for range requests {
		serve()
	}
	synctest.Wait()
	begun := time.Now()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v, want nil: lost spans are no failure of the service", err)
	}
	if took := time.Since(begun); took != want {
		t.Errorf("the stop took %v, want %v", took, want)
	}
	if got := spans.Lost(); got != requests+late {
		t.Errorf("%d spans lost, want %d: the collector's end comes after the server's", got, requests+late)
	}
}

// kept is an exporter that counts the spans of a trace.
type kept map[trace.TraceID]int

func (k kept) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		k[s.SpanContext().TraceID()]++
	}
	return nil
}

func (k kept) Shutdown(context.Context) error { return nil }

// TestForcedTrace has a service that keeps no trace of its own accord, a caller who decided against this one, and a
// server in front of another, each of which goes by what the one before it says.
func TestForcedTrace(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		trust  bool
		want   int // spans
	}{
		"IsKeptForATrustedCaller": {"1", true, 2},
		"IsNotForAnother":         {"1", false, 0},
		"IsNotUnlessAskedFor":     {"", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			spans := kept{}
			p, err := tracing.Setup(t.Context(), &tracing.Options{ServiceName: "orders", Ratio: -1, Exporter: spans})
			if err != nil {
				t.Fatal(err)
			}
			server := func(trust bool, h http.HandlerFunc) http.Handler {
				return httpserver.Observe(&httpserver.ObserveOptions{
					TracerProvider: p.TracerProvider(), Registerer: prometheus.NewRegistry(),
					Logger: slog.New(slog.DiscardHandler), Trust: func(*http.Request) bool { return trust },
				})(h)
			}
			behind := server(true, func(http.ResponseWriter, *http.Request) {})
			front := server(c.trust, func(w http.ResponseWriter, r *http.Request) {
				next := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
				p.Propagator().Inject(r.Context(), propagation.HeaderCarrier(next.Header))
				behind.ServeHTTP(httptest.NewRecorder(), next)
			})

			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
			r.Header.Set("X-Trace-Sample", c.header)
			front.ServeHTTP(httptest.NewRecorder(), r)
			if err := p.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			id, err := trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c")
			if err != nil {
				t.Fatal(err)
			}
			if got := spans[id]; got != c.want || len(spans) > 1 {
				t.Errorf("got %d spans in %d traces, want %d of the caller's trace", got, len(spans), c.want)
			}
		})
	}
}
