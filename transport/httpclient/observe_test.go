package httpclient_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	apitrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// answers answers every request with a status, without a network.
type answers int

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Body: http.NoBody, Request: r}, nil
}

// tripper is a RoundTripper made of a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func send(t *testing.T, rt http.RoundTripper, r *http.Request) {
	t.Helper()
	resp, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// labels returns the values of label among the series of a metric, each with how often it was observed.
func labels(t *testing.T, reg prometheus.Gatherer, metric, label string) map[string]int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					got[l.GetValue()] += int(m.GetHistogram().GetSampleCount()) + int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return got
}

const (
	duration = "http_client_request_duration_seconds"
	overflow = "metrics_label_values_overflowed_total"
)

func TestObserveAloneOnAPlainClient(t *testing.T) {
	got := make(chan http.Header, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	defer srv.Close()
	spans, reg := tracetest.NewInMemoryExporter(), prometheus.NewRegistry()
	client := &http.Client{Transport: httpclient.Observe(&httpclient.ObserveOptions{
		TracerProvider: trace.NewTracerProvider(trace.WithSyncer(spans)), Registerer: reg,
	})(httpclient.NewPool(nil))}
	defer client.CloseIdleConnections()
	r := request(t, correlation.NewContext(t.Context(), "c-1"), "GET", srv.URL+"/users/42?secret", nil)
	r.Pattern = "GET users.example/users/{id}"
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()

	h, span := <-got, spans.GetSpans()[0]
	if h.Get("X-Correlation-Id") != "c-1" || !strings.Contains(h.Get("Traceparent"), span.SpanContext.SpanID().String()) {
		t.Errorf("header %v, want correlation ID c-1 and span %s", h, span.SpanContext.SpanID())
	}
	if span.Name != "GET /users/{id}" || span.SpanKind != apitrace.SpanKindClient {
		t.Errorf("span %q of kind %v, want GET /users/{id}, client", span.Name, span.SpanKind)
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	attrs := map[string]string{}
	for _, kv := range span.Attributes {
		attrs[string(kv.Key)] = kv.Value.String()
	}
	want := map[string]string{
		"http.request.method": "GET", "server.address": host, "server.port": port, "url.full": srv.URL + "/users/42",
		"url.template": "/users/{id}", "http.response.status_code": "200",
	}
	if !maps.Equal(attrs, want) {
		t.Errorf("attributes\n got %v\nwant %v", attrs, want)
	}
	for label, want := range map[string]string{
		"url_template": "/users/{id}", "server_address": host, "server_port": port, "http_request_method": "GET",
		"http_response_status_code": "200",
	} {
		if got := labels(t, reg, duration, label); !maps.Equal(got, map[string]int{want: 1}) {
			t.Errorf("label %s: %v, want %q once", label, got, want)
		}
	}
	if len(r.Header) != 0 {
		t.Errorf("the caller's request has %v", r.Header)
	}
}

func TestPathsMakeNoSeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	rt := httpclient.Observe(&httpclient.ObserveOptions{Registerer: reg})(answers(200))
	for i := range 1000 {
		send(t, rt, request(t, t.Context(), fmt.Sprintf("M%d", i), fmt.Sprintf("http://users/%d?q=%d", i, i), nil))
	}
	for label, want := range map[string]map[string]int{
		"http_request_method": {metrics.Other: 1000}, "server_address": {"users": 1000}, "url_template": {"": 1000},
	} {
		if got := labels(t, reg, duration, label); !maps.Equal(got, want) {
			t.Errorf("label %s: %v, want %v", label, got, want)
		}
	}
}

func TestBoundsOfLabels(t *testing.T) {
	const n = 1000
	for _, tt := range []struct {
		label string
		bound int
		other string
		lost  bool // counted as having lost its label
		make  func(i int) (http.RoundTripper, *http.Request)
	}{
		{"server_address", 100, metrics.Overflow, true, func(i int) (http.RoundTripper, *http.Request) {
			return answers(200), request(t, t.Context(), "GET", fmt.Sprintf("http://host-%d/", i), nil)
		}},
		{"url_template", 500, metrics.Overflow, true, func(i int) (http.RoundTripper, *http.Request) {
			r := request(t, t.Context(), "GET", "http://users/", nil)
			r.Pattern = fmt.Sprintf("/users/%d", i)
			return answers(200), r
		}},
		{"http_response_status_code", 500, metrics.Other, false, func(i int) (http.RoundTripper, *http.Request) {
			return answers(100 + i), request(t, t.Context(), "GET", "http://users/", nil)
		}},
	} {
		t.Run(tt.label, func(t *testing.T) {
			spans, reg := tracetest.NewInMemoryExporter(), prometheus.NewRegistry()
			var rt http.RoundTripper
			observe := httpclient.Observe(&httpclient.ObserveOptions{
				TracerProvider: trace.NewTracerProvider(trace.WithSyncer(spans)), Registerer: reg,
			})
			observed := observe(tripper(func(r *http.Request) (*http.Response, error) { return rt.RoundTrip(r) }))
			for i := range n {
				if i == n-1 {
					i = tt.bound + 50 // one past the bound comes again
				}
				base, r := tt.make(i)
				rt = base
				send(t, observed, r)
			}
			got := labels(t, reg, duration, tt.label)
			if len(got) != tt.bound+1 || got[tt.other] != n-tt.bound {
				t.Errorf("%d values, %d requests of %s; want %d and %d", len(got), got[tt.other], tt.other, tt.bound+1, n-tt.bound)
			}
			lost := 0
			if tt.lost {
				lost = n - tt.bound
			}
			if got := labels(t, reg, overflow, "label")[tt.label]; got != lost {
				t.Errorf("%d counted as overflowed, want %d", got, lost)
			}
			for _, s := range spans.GetSpans() {
				if strings.Contains(s.Name, metrics.Overflow) {
					t.Fatalf("a span is called %q", s.Name)
				}
			}
		})
	}
}

func TestWhatIsNotUTF8IsCountedOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	rt := httpclient.Observe(&httpclient.ObserveOptions{Registerer: reg})(answers(200))
	r := request(t, t.Context(), "GET", "http://users/", nil)
	r.Method, r.URL.Host, r.Pattern = "\xff\xfe", "\xff\xfe", "/\xff\xfe"
	send(t, rt, r)
	for _, label := range []string{"http_request_method", "server_address", "url_template"} {
		got := labels(t, reg, duration, label)
		for value, n := range got {
			if len(got) != 1 || n != 1 || !utf8.ValidString(value) {
				t.Errorf("label %s: %v, want one valid value, counted once", label, got)
			}
		}
	}
}

func TestServersAreToldByPort(t *testing.T) {
	reg := prometheus.NewRegistry()
	rt := httpclient.Observe(&httpclient.ObserveOptions{Registerer: reg})(answers(200))
	for _, url := range []string{
		"http://users/", "http://users:80/", "http://USERS/", "https://users/", "http://users:8080/", "http://[::1]:9/",
	} {
		send(t, rt, request(t, t.Context(), "GET", url, nil))
	}
	if got, want := labels(t, reg, duration, "server_port"), (map[string]int{
		"80": 3, "443": 1, "8080": 1, "9": 1,
	}); !maps.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
	got := slices.Sorted(maps.Keys(labels(t, reg, duration, "server_address")))
	if want := []string{"::1", "users"}; !slices.Equal(got, want) {
		t.Errorf("addresses %q, want %q", got, want)
	}
}

// foreign is what another library's instrumentation does: a client span of its own, whose context it sends.
func foreign(tp apitrace.TracerProvider, base http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		ctx, span := tp.Tracer("foreign").Start(r.Context(), "foreign", apitrace.WithSpanKind(apitrace.SpanKindClient))
		defer span.End()
		r = r.Clone(ctx)
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
		return base.RoundTrip(r)
	})
}

func TestBesideAnotherInstrumentation(t *testing.T) {
	for _, where := range []string{"below", "above"} {
		t.Run(where, func(t *testing.T) {
			spans, reg := tracetest.NewInMemoryExporter(), prometheus.NewRegistry()
			tp := trace.NewTracerProvider(trace.WithSyncer(spans))
			observe := httpclient.Observe(&httpclient.ObserveOptions{TracerProvider: noop.NewTracerProvider(), Registerer: reg})
			var sent http.Header
			rt := http.RoundTripper(tripper(func(r *http.Request) (*http.Response, error) {
				sent = r.Header
				return answers(200).RoundTrip(r)
			}))
			if where == "below" {
				rt = observe(foreign(tp, rt))
			} else {
				rt = foreign(tp, observe(rt))
			}
			ctx, span := tp.Tracer("t").Start(correlation.NewContext(t.Context(), "c-1"), "caller")
			send(t, rt, request(t, ctx, "GET", "http://users/", nil))
			span.End()
			got := spans.GetSpans()
			if len(got) != 2 || got[0].Parent.SpanID() != span.SpanContext().SpanID() {
				t.Fatalf("spans %v, want the caller's and one below it", got)
			}
			if tp := sent.Get("Traceparent"); !strings.Contains(tp, got[0].SpanContext.SpanID().String()) {
				t.Errorf("traceparent %q, want the span %s", tp, got[0].SpanContext.SpanID())
			}
			if sent.Get("X-Correlation-Id") != "c-1" || labels(t, reg, duration, "server_address")["users"] != 1 {
				t.Errorf("header %v, want correlation and metrics all the same", sent)
			}
		})
	}
}

func TestObserveHoldsABrokenTransport(t *testing.T) {
	rt := httpclient.Observe(&httpclient.ObserveOptions{Registerer: prometheus.NewRegistry()})(
		tripper(func(*http.Request) (*http.Response, error) { return nil, nil }))
	if resp, err := rt.RoundTrip(request(t, t.Context(), "GET", "http://users/", nil)); err == nil {
		t.Errorf("neither response nor error: got %v, want an error", resp)
	}
	for name, rt := range map[string]http.RoundTripper{"Observe": rt, "Guard": httpclient.Guard(quick(noRetry))(rt)} {
		if resp, err := rt.RoundTrip(&http.Request{}); err == nil {
			t.Errorf("%s, no URL: got %v, want an error", name, resp)
		}
	}
}
