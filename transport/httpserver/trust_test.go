package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
)

// carried is what a request brought into its handler and left behind.
type carried struct {
	id      string
	tenant  string // of the baggage
	span    tracetest.SpanStub
	sampled attribute.Value // the attribute of forced sampling, at the start or later
}

// carry sends a request that brings everything through a handler with trust.
func carry(t *testing.T, trust func(*http.Request) bool, change func(http.Header)) carried {
	t.Helper()
	obs := newObserved()
	o := obs.options()
	o.Trust = trust
	o.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	var c carried
	h := httpserver.Observe(o)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.id = correlation.FromContext(r.Context())
		c.tenant = baggage.FromContext(r.Context()).Member("tenant").Value()
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Correlation-Id", "callers")
	r.Header.Set("traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
	r.Header.Set("baggage", "tenant=acme")
	r.Header.Set(transport.HeaderTraceSample, "1")
	if change != nil {
		change(r.Header)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if echo := rec.Header().Get("X-Correlation-Id"); echo != c.id {
		t.Errorf("response has ID %q, context %q", echo, c.id)
	}
	spans := obs.spans.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want 1", len(spans))
	}
	c.span = spans[0]
	for _, kv := range c.span.Attributes {
		if kv.Key == "sampling.priority" {
			c.sampled = kv.Value
		}
	}
	return c
}

func TestTrust(t *testing.T) {
	anybody := func(*http.Request) bool { return true }
	nobody := func(*http.Request) bool { return false }

	t.Run("OfNobodyInParticularContinuesEverybody", func(t *testing.T) {
		c := carry(t, nil, nil)
		if c.id != "callers" || c.tenant != "acme" || c.span.SpanContext.TraceID().String() != callersTrace {
			t.Errorf("ID %q, tenant %q, trace %s, want the caller's", c.id, c.tenant, c.span.SpanContext.TraceID())
		}
		if c.sampled.Type() != attribute.EMPTY {
			t.Errorf("sampling.priority %v, want none: nobody was trusted", c.sampled.String())
		}
	})
	t.Run("ContinuesATrustedCaller", func(t *testing.T) {
		c := carry(t, anybody, nil)
		if c.id != "callers" || c.tenant != "acme" || c.span.SpanContext.TraceID().String() != callersTrace {
			t.Errorf("ID %q, tenant %q, trace %s, want the caller's", c.id, c.tenant, c.span.SpanContext.TraceID())
		}
		if got := c.sampled.AsInt64(); got != 1 {
			t.Errorf("sampling.priority %d, want 1", got)
		}
	})
	t.Run("BeginsAnewForAStranger", func(t *testing.T) {
		c := carry(t, nobody, nil)
		if c.id == "callers" || !correlation.Valid(c.id) {
			t.Errorf("ID %q, want a new one", c.id)
		}
		if c.tenant != "" {
			t.Errorf("tenant %q in the baggage, want none", c.tenant)
		}
		if c.span.SpanContext.TraceID().String() == callersTrace || c.span.Parent.IsValid() {
			t.Errorf("trace %s under %s, want a new root", c.span.SpanContext.TraceID(), c.span.Parent.SpanID())
		}
		if len(c.span.Links) != 1 || c.span.Links[0].SpanContext.SpanID().String() != callersSpan {
			t.Errorf("links %v, want one to the caller's span", c.span.Links)
		}
		if c.sampled.Type() != attribute.EMPTY {
			t.Errorf("sampling.priority %v, want none", c.sampled.String())
		}
	})
	t.Run("BeginsAnewForAStrangerUnderWhateverSpan", func(t *testing.T) {
		obs := newObserved()
		o := obs.options()
		o.Trust = nobody
		instrumented(obs.tp, trace.SpanKindInternal, httpserver.Observe(o)(items())).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/items/0", nil))
		if s := obs.spans.GetSpans()[0]; s.Name != "GET /items/{id}" || s.Parent.IsValid() || len(s.Links) != 0 {
			t.Errorf("span %q under %v with links %v, want a root without", s.Name, s.Parent.SpanID(), s.Links)
		}
	})
	t.Run("LinksNothingWhereAStrangerHasNoTrace", func(t *testing.T) {
		c := carry(t, nobody, func(h http.Header) { h.Del("traceparent") })
		if c.span.Parent.IsValid() || len(c.span.Links) != 0 {
			t.Errorf("parent %v, links %v, want neither", c.span.Parent, c.span.Links)
		}
	})
	t.Run("IsAskedOnce", func(t *testing.T) {
		n := 0
		carry(t, func(*http.Request) bool { n++; return true }, nil)
		if n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
	})
	for name, values := range map[string][]string{
		"Absent": nil, "Zero": {"0"}, "True": {"true"}, "Twice": {"1", "1"}, "Padded": {" 1"}, "Empty": {""},
	} {
		t.Run("ForcesNothingBy/"+name, func(t *testing.T) {
			c := carry(t, anybody, func(h http.Header) { h[transport.HeaderTraceSample] = values })
			if c.sampled.Type() != attribute.EMPTY {
				t.Errorf("sampling.priority %v, want none", c.sampled.String())
			}
		})
	}
	t.Run("ShowsTheSamplerItsWish", func(t *testing.T) {
		s := &lastSampled{}
		o := newObserved().options()
		o.Trust, o.TracerProvider = anybody, s.provider()
		r := httptest.NewRequest("GET", "/items/1", nil)
		r.Header.Set(transport.HeaderTraceSample, "1")
		httpserver.Observe(o)(items()).ServeHTTP(httptest.NewRecorder(), r)
		if got := s.attributes["sampling.priority"]; s.kind != trace.SpanKindServer || got != "1" {
			t.Errorf("kind %v, sampling.priority %q, want a server's with 1", s.kind, got)
		}
	})
}
