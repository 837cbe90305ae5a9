package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	apitrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	kitcorrelation "github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// TestClientBesideOtelhttp has the kit's client around otelhttp's transport and inside it: one span an attempt, which
// is otelhttp's, and the server is told of that one.
func TestClientBesideOtelhttp(t *testing.T) {
	got := make(chan http.Header, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	defer srv.Close()
	for name, around := range map[string]func(kit, theirs func(http.RoundTripper) http.RoundTripper) http.RoundTripper{
		"KitOutside": func(kit, theirs func(http.RoundTripper) http.RoundTripper) http.RoundTripper {
			return kit(theirs(httpclient.NewPool(nil)))
		},
		"KitInside": func(kit, theirs func(http.RoundTripper) http.RoundTripper) http.RoundTripper {
			return theirs(kit(httpclient.NewPool(nil)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			spans, reg := tracetest.NewInMemoryExporter(), prometheus.NewRegistry()
			tp := trace.NewTracerProvider(trace.WithSyncer(spans))
			theirs := func(base http.RoundTripper) http.RoundTripper {
				return otelhttp.NewTransport(base,
					otelhttp.WithTracerProvider(tp), otelhttp.WithPropagators(propagation.TraceContext{}))
			}
			kit := httpclient.Observe(&httpclient.ObserveOptions{TracerProvider: noop.NewTracerProvider(), Registerer: reg})
			client := &http.Client{Transport: around(kit, theirs)}
			ctx, caller := tp.Tracer("t").Start(kitcorrelation.NewContext(t.Context(), "c-1"), "caller")
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			caller.End()
			header := <-got
			srv.CloseClientConnections()
			client.CloseIdleConnections()

			list := spans.GetSpans()
			if len(list) != 2 || list[0].Parent.SpanID() != caller.SpanContext().SpanID() {
				t.Fatalf("got %d spans %v, want the caller's and one below it", len(list), list)
			}
			told := apitrace.SpanContextFromContext(
				propagation.TraceContext{}.Extract(t.Context(), propagation.HeaderCarrier(header)))
			if told.SpanID() != list[0].SpanContext.SpanID() {
				t.Errorf("the server was told of span %s, want %s", told.SpanID(), list[0].SpanContext.SpanID())
			}
			if id := header.Get(kitcorrelation.Header); id != "c-1" {
				t.Errorf("correlation ID %q, want c-1", id)
			}
			if families, err := reg.Gather(); err != nil || len(families) == 0 {
				t.Errorf("metrics %v, %v; want those of the request", families, err)
			}
		})
	}
}
