package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// lastSampled notes what a sampler is shown, and keeps nothing.
type lastSampled struct {
	kind       trace.SpanKind
	attributes map[attribute.Key]string
}

func (s *lastSampled) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.kind, s.attributes = p.Kind, map[attribute.Key]string{}
	for _, kv := range p.Attributes {
		s.attributes[kv.Key] = kv.Value.String()
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func (s *lastSampled) Description() string { return "lastSampled" }

func (s *lastSampled) provider() trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(s))
}

// instrumented starts a span of kind around h, as an instrumentation outside of ours does.
func instrumented(tp trace.TracerProvider, kind trace.SpanKind, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tp.Tracer("outer").Start(r.Context(), "outer", trace.WithSpanKind(kind))
		defer span.End()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

func TestSpanOfAnotherInstrumentation(t *testing.T) {
	status := func(code int) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		return mux
	}
	t.Run("IsTakenAndCompleted", func(t *testing.T) {
		obs := newObserved()
		h := httpserver.Observe(obs.options())(status(503))
		r := httptest.NewRequest("GET", "/items/1", nil)
		r.Header.Set("traceparent", "00-"+callersTrace+"-"+callersSpan+"-01") // which the outer one answers for
		instrumented(obs.tp, trace.SpanKindServer, h).ServeHTTP(httptest.NewRecorder(), r)
		spans := obs.spans.GetSpans()
		if len(spans) != 1 {
			t.Fatalf("%d spans, want the outer one alone", len(spans))
		}
		s := spans[0]
		if s.Name != "GET /items/{id}" || s.Status.Code != codes.Error ||
			!slices.Contains(s.Attributes, attribute.String("http.route", "/items/{id}")) {
			t.Errorf("span %q, status %v, attributes %v, want the route and the error", s.Name, s.Status, s.Attributes)
		}
		if got := obs.lines(t)[0]["span_id"]; got != s.SpanContext.SpanID().String() {
			t.Errorf("log has span %v, want the outer one's", got)
		}
	})
	t.Run("EndsWhenItsOwnerSays", func(t *testing.T) {
		obs := newObserved()
		h := httpserver.Observe(obs.options())(status(200))
		var open bool
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			open = trace.SpanFromContext(r.Context()).IsRecording()
		})
		instrumented(obs.tp, trace.SpanKindServer, outer).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/items/1", nil))
		if !open {
			t.Error("the span ended with the handler, want it open")
		}
	})
	t.Run("OfAnotherKindIsAParent", func(t *testing.T) {
		obs := newObserved()
		h := httpserver.Observe(obs.options())(status(200))
		instrumented(obs.tp, trace.SpanKindInternal, h).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/items/1", nil))
		spans := obs.spans.GetSpans()
		if len(spans) != 2 || spans[0].Parent.SpanID() != spans[1].SpanContext.SpanID() {
			t.Errorf("spans %v, want ours under the outer one", spans)
		}
	})
	t.Run("ThatIsNotKeptLeavesNone", func(t *testing.T) {
		obs := newObserved()
		tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(obs.spans),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
		o := obs.options()
		o.TracerProvider = tp
		instrumented(tp, trace.SpanKindServer, httpserver.Observe(o)(status(200))).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/items/1", nil))
		if spans := obs.spans.GetSpans(); len(spans) != 0 {
			t.Errorf("%d spans, want none", len(spans))
		}
	})
}

func TestSpanNamesTheClient(t *testing.T) {
	for name, tt := range map[string]struct {
		proxies *httpserver.Proxies
		want    string
	}{
		"IsWhoeverIsConnected":            {nil, "192.0.2.1"},
		"IsBehindATrustedProxy":           {&httpserver.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, "203.0.113.7"},
		"IsTheProxyWhereNobodyTrustsThat": {&httpserver.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			obs := newObserved()
			o := obs.options()
			o.Proxies = tt.proxies
			h := httpserver.Observe(o)(http.NewServeMux())
			r := httptest.NewRequest("GET", "/", nil) // from 192.0.2.1
			r.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.7")
			h.ServeHTTP(httptest.NewRecorder(), r)
			attrs := obs.spans.GetSpans()[0].Attributes
			for _, want := range []attribute.KeyValue{
				attribute.String("client.address", tt.want), attribute.String("network.peer.address", "192.0.2.1"),
			} {
				if !slices.Contains(attrs, want) {
					t.Errorf("attributes %v, want %v", attrs, want)
				}
			}
		})
	}
}
