package main

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// BenchmarkStack is for profiles; the comparison is the command's.
func BenchmarkStack(b *testing.B) {
	token, _ := tokens(b)
	for name, side := range map[string]build{
		"Kit": kitStack, "ByHand": byHandStack, "Kratos": kratosStack, "GoZero": goZeroStack, "Bare": bareStack,
		"KitObserve": kitObserved, "ByHandObserve": byHandObserved,
	} {
		b.Run(name, func(b *testing.B) {
			h, err := side(oneInTen())
			if err != nil {
				b.Fatal(err)
			}
			c, err := newUserCaller(h, token)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			used := bench.CPUTime()
			for b.Loop() {
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(bench.CPUTime()-used)/float64(b.N), "cpu-ns/op")
		})
	}
}

// TestNoSecondSpanInsideOtelhttp holds what package httpserver says of a service that is wrapped already: one span, by
// otelhttp, with the route that the kit knows.
func TestNoSecondSpanInsideOtelhttp(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tel := newTelemetry(spans, io.Discard)
	h, err := kitObserved(tel)
	if err != nil {
		t.Fatal(err)
	}
	r, err := userRequest("http://users", "")
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Traceparent", sampled)
	if a := serve(byHandTrace(tel, h), r); a.status != http.StatusOK {
		t.Fatalf("status: got %d, want 200", a.status)
	}
	ended := spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("got %d spans, want 1", len(ended))
	}
	s := ended[0]
	if got := s.InstrumentationScope().Name; !strings.HasSuffix(got, "otelhttp") {
		t.Errorf("scope: got %q, want otelhttp's", got)
	}
	if want := "GET " + userPattern; s.Name() != want || s.Parent().SpanID().String() != sampled[36:52] {
		t.Errorf("got %q under %s, want %q under the caller's span", s.Name(), s.Parent().SpanID(), want)
	}
	if !slices.Contains(s.Attributes(), attribute.String("http.route", userPattern)) {
		t.Errorf("attributes: got %v, want the route", s.Attributes())
	}
}

// TestRoutesOfChi: chi tells http.Request.Pattern to what it runs as its own middleware, and its RouteContext to a Route
// function there.
func TestRoutesOfChi(t *testing.T) {
	for name, route := range map[string]func(*http.Request) string{
		"ByPattern":      nil,
		"ByRouteContext": func(r *http.Request) string { return chi.RouteContext(r.Context()).RoutePattern() },
	} {
		t.Run(name, func(t *testing.T) {
			spans := tracetest.NewSpanRecorder()
			tel := newTelemetry(spans, io.Discard)
			r := chi.NewRouter()
			r.Use(httpserver.Observe(&httpserver.ObserveOptions{
				Logger: slog.New(slog.DiscardHandler), TracerProvider: tel.tracer, Registerer: tel.metrics, Route: route,
			}))
			r.Route("/users", func(r chi.Router) { r.Get("/{id}", getUser) })
			req, err := userRequest("http://users", "")
			if err != nil {
				t.Fatal(err)
			}
			serve(r, req)
			if got, want := spans.Ended()[0].Name(), "GET "+userPattern; got != want {
				t.Errorf("span: got %q, want %q", got, want)
			}
		})
	}
}
