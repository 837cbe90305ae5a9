package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// namesake has the name of our histogram and other labels.
type namesake struct{}

func (namesake) Describe(c chan<- *prometheus.Desc) {
	c <- prometheus.NewDesc("http_server_request_duration_seconds", "x", []string{"other"}, nil)
}
func (namesake) Collect(chan<- prometheus.Metric) {}

// run sends r through Observe and returns the answer.
func run(obs *observed, h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	httpserver.Observe(obs.options())(h).ServeHTTP(rec, r)
	return rec
}

func TestCorrelation(t *testing.T) {
	legal := strings.Repeat("aZ9._-", 22)[:128]
	for name, tt := range map[string]struct {
		sent []string
		want string // "" for a fresh one
	}{
		"Missing":    {nil, ""},
		"At128":      {[]string{legal}, legal},
		"At129":      {[]string{legal + "a"}, ""},
		"At64KiB":    {[]string{strings.Repeat("a", 64<<10)}, ""},
		"WithASpace": {[]string{"a b"}, ""},
		"WithAQuote": {[]string{`x"y`}, ""},
		"WithATab":   {[]string{"a\tb"}, ""},
		"NotUTF8":    {[]string{"\xff\xfe"}, ""},
		"Empty":      {[]string{""}, ""},
		"Twice":      {[]string{"a", "b"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			obs := newObserved()
			seen := make(chan string, 1)
			url, _ := start(t, httpserver.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				seen <- correlation.FromContext(r.Context())
			}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
			r := request(t, "GET", url, nil)
			r.Header["X-Correlation-Id"] = tt.sent
			resp, _ := send(t, newClient(t), r)

			got, logged := <-seen, obs.lines(t)[0]["correlation_id"]
			if echo := resp.Header["X-Correlation-Id"]; !reflect.DeepEqual(echo, []string{got}) || logged != got {
				t.Errorf("context %q, response %q, log %q, want one and the same", got, echo, logged)
			}
			if tt.want != "" && got != tt.want || !correlation.Valid(got) {
				t.Errorf("ID %q, want %q", got, tt.want)
			}
			for _, sent := range tt.sent {
				if tt.want == "" && strings.HasPrefix(sent, got) {
					t.Errorf("ID %q was adopted of %q", got, sent)
				}
			}
		})
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"InPlaceOf":  func(w http.ResponseWriter) { w.Header().Set("X-Correlation-Id", "upstream") },
		"ByAHeader":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
		"ByABody":    func(w http.ResponseWriter) { _, _ = w.Write([]byte("b")) },
		"ByAString":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, "b") },
		"ByACopy":    func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("b")) },
		"ByAFlush":   func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"ByAProblem": func(http.ResponseWriter) { panic("boom") },
		"ByNothing":  func(http.ResponseWriter) {},
	} {
		t.Run("IsTheOnlyOneAnswered/"+name, func(t *testing.T) {
			url, _ := start(t, httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["X-Correlation-Id"] = append(w.Header()["X-Correlation-Id"], "upstream")
				answer(w)
			}), newObserved().server(httpserver.Options{Addr: "127.0.0.1:0"})))
			r := request(t, "GET", url, nil)
			r.Header.Set("X-Correlation-Id", "c-1")
			resp, _ := send(t, newClient(t), r)
			if got := resp.Header["X-Correlation-Id"]; !slices.Equal(got, []string{"c-1"}) {
				t.Errorf("got IDs %q, want c-1 alone", got)
			}
		})
	}
	t.Run("NeverMixes", func(t *testing.T) {
		h := httpserver.Observe(newObserved().options())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, correlation.FromContext(r.Context()))
		}))
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("X-Correlation-Id", fmt.Sprint("c-", i))
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				if rec.Body.String() != fmt.Sprint("c-", i) {
					t.Errorf("request c-%d ran as %s", i, rec.Body)
				}
			})
		}
		wg.Wait()
	})
}

// TestAHandlersGoroutineKeepsItsOwn holds what a pool of exchanges would break: a goroutine that outlives its request
// has that request's context, whatever comes after it.
func TestAHandlersGoroutineKeepsItsOwn(t *testing.T) {
	released := make(chan struct{})
	var kept sync.WaitGroup
	h := httpserver.Observe(newObserved().options())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := r.Header.Get("X-Correlation-Id")
		kept.Go(func() {
			<-released
			if got := correlation.FromContext(r.Context()); got != want {
				t.Errorf("context of %s has ID %s", want, got)
			}
			if got := w.Header().Get("X-Correlation-Id"); got != want {
				t.Errorf("writer of %s has ID %s", want, got)
			}
		})
	}))
	for i := range 200 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Correlation-Id", fmt.Sprint("c-", i))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	close(released)
	kept.Wait()
}

// items routes as a service does: half of its items are missing.
func items() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		if id := r.PathValue("id"); (id[len(id)-1]-'0')%2 == 1 {
			http.NotFound(w, r)
		}
	})
	return mux
}

func TestMetrics(t *testing.T) {
	t.Run("RouteIsThePatternOrAbsent", func(t *testing.T) {
		obs, mux := newObserved(), items()
		for i := range 500 {
			run(obs, mux, httptest.NewRequest("GET", fmt.Sprint("/items/", i), nil))
			run(obs, mux, httptest.NewRequest("GET", fmt.Sprint("/scan/", i), nil))
		}
		run(obs, mux, httptest.NewRequest("POST", "/items/1", nil))
		want := map[string]uint64{
			"GET /items/{id} 200": 250, "GET /items/{id} 404": 250, "GET  404": 500, "POST  405": 1,
		}
		if got := obs.series(t); !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
	t.Run("RouteIsTheEndpointsBehindAnotherHandler", func(t *testing.T) {
		obs, mux := newObserved(), http.NewServeMux()
		e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", &httpapi.EndpointOptions{Access: transport.Public})
		httpapi.Handle(mux, e, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
		between := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mux.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
		})
		run(obs, between, httptest.NewRequest("GET", "/x", nil))
		if got, want := obs.series(t), map[string]uint64{"GET /x 204": 1}; !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
	t.Run("InventedMethodsAreOne", func(t *testing.T) {
		obs, h := newObserved(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		for i := range 1000 {
			run(obs, h, httptest.NewRequest(fmt.Sprintf("M%04d", i), "/", nil))
		}
		run(obs, h, httptest.NewRequest("GET", "/", nil))
		run(obs, h, httptest.NewRequest("get", "/", nil))
		want := map[string]uint64{"_OTHER  200": 1001, "GET  200": 1}
		if got := obs.series(t); !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
	t.Run("APanicIsOne500", func(t *testing.T) {
		obs := newObserved()
		url, _ := start(t, httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/late" {
				fmt.Fprint(w, "part of the body")
				w.(http.Flusher).Flush()
			}
			panic("secret")
		}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
		client := newClient(t)
		for range 10 {
			resp, body := send(t, client, request(t, "GET", url, nil))
			if resp.StatusCode != 500 || strings.Contains(body, "secret") || !strings.Contains(body, `"code":"internal"`) {
				t.Errorf("status %d, body %q, want a problem without the panic's text", resp.StatusCode, body)
			}
		}
		resp, err := client.Do(request(t, "GET", url+"/late", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("after the header: body %q ended as if it were whole", body)
		}
		if got, want := obs.series(t), map[string]uint64{"GET  500": 11}; !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
		if got := obs.active(t); got != 0 {
			t.Errorf("%v requests in flight, want 0", got)
		}
		if got := obs.errorLines(t); got != 11 {
			t.Errorf("%d error lines, want 11", got)
		}
		for _, line := range obs.lines(t) {
			stack, _ := line["stack"].(string)
			if line["panic"] != "secret" || !strings.Contains(stack, "observe_test.go") {
				t.Errorf("line %v, want the panic and its stack", line)
			}
		}
	})
	t.Run("AnAbortIsBrokenAndNoPanic", func(t *testing.T) {
		obs := newObserved()
		url, _ := start(t, httpserver.New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
		if resp, err := newClient(t).Do(request(t, "GET", url, nil)); err == nil {
			resp.Body.Close()
			t.Errorf("status %d, want a broken connection", resp.StatusCode)
		}
		if line := obs.lines(t)[0]; line["stack"] != nil || line["status"] != 500.0 {
			t.Errorf("line %v, want 500 without a stack", line)
		}
	})
	t.Run("AnEndedGoroutineIsA500", func(t *testing.T) {
		obs := newObserved()
		done := make(chan struct{})
		go func() {
			defer close(done)
			run(obs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }),
				httptest.NewRequest("GET", "/", nil))
		}()
		<-done
		if got, want := obs.series(t), map[string]uint64{"GET  500": 1}; !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
	t.Run("BytesThatAreNotUTF8AreCounted", func(t *testing.T) {
		obs, mux := newObserved(), items()
		mux.HandleFunc("GET /\xff\xfe", func(http.ResponseWriter, *http.Request) {})
		for _, path := range []string{"/\xff\xfe", "/items/\xc0"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path, r.Host = path, "\xff"
			if rec := run(obs, mux, r); rec.Code != 200 {
				t.Errorf("path %q: status %d, want 200", path, rec.Code)
			}
		}
		rec := httptest.NewRecorder()
		metrics.Handler(obs.reg).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := parser.TextToMetricFamilies(bytes.NewReader(rec.Body.Bytes())); rec.Code != 200 || err != nil {
			t.Errorf("scrape: status %d, %v", rec.Code, err)
		}
		if n := len(obs.lines(t)); n != 2 {
			t.Errorf("%d log lines, want 2", n)
		}
	})
}

func TestSpans(t *testing.T) {
	span := func(obs *observed) tracetest.SpanStub {
		t.Helper()
		spans := obs.spans.GetSpans()
		if len(spans) != 1 {
			t.Fatalf("%d spans, want 1", len(spans))
		}
		return spans[0]
	}
	attr := func(s tracetest.SpanStub, key string) (attribute.Value, bool) {
		for _, kv := range s.Attributes {
			if string(kv.Key) == key {
				return kv.Value, true
			}
		}
		return attribute.Value{}, false
	}
	t.Run("AreNamedByTheRoute", func(t *testing.T) {
		obs := newObserved()
		run(obs, items(), httptest.NewRequest("GET", "/items/42", nil))
		s := span(obs)
		if route, _ := attr(s, "http.route"); s.Name != "GET /items/{id}" || route.AsString() != "/items/{id}" {
			t.Errorf("span %q, route %q", s.Name, route.AsString())
		}
	})
	t.Run("HaveNoRouteWhereNoneMatched", func(t *testing.T) {
		obs := newObserved()
		run(obs, items(), httptest.NewRequest("GET", "/nope", nil))
		s := span(obs)
		if _, ok := attr(s, "http.route"); s.Name != "GET" || ok {
			t.Errorf("span %q, route %t, want GET without a route", s.Name, ok)
		}
	})
	t.Run("KeepTheOriginalOfAnotherMethod", func(t *testing.T) {
		obs := newObserved()
		run(obs, items(), httptest.NewRequest("BREW", "/items/1", nil))
		s := span(obs)
		method, _ := attr(s, "http.request.method")
		original, _ := attr(s, "http.request.method_original")
		if s.Name != "HTTP" || method.AsString() != "_OTHER" || original.AsString() != "BREW" {
			t.Errorf("span %q, method %q, original %q", s.Name, method.AsString(), original.AsString())
		}
	})
	t.Run("FailForServerErrorsOnly", func(t *testing.T) {
		for status, want := range map[int]codes.Code{200: codes.Unset, 404: codes.Unset, 503: codes.Error} {
			obs := newObserved()
			run(obs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }),
				httptest.NewRequest("GET", "/", nil))
			if got := span(obs).Status.Code; got != want {
				t.Errorf("status %d: span %v, want %v", status, got, want)
			}
			if kind, ok := attr(span(obs), "error.type"); ok != (status == 503) || ok && kind.AsString() != "503" {
				t.Errorf("status %d: error.type %q, want 503 for that status alone", status, kind.AsString())
			}
		}
	})
	t.Run("ContinueTheCallersTrace", func(t *testing.T) {
		obs := newObserved()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		run(obs, items(), r)
		if got := span(obs).SpanContext.TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("trace %s, want the caller's", got)
		}
	})
	t.Run("KeepTheCallersTraceState", func(t *testing.T) {
		obs := newObserved()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		r.Header.Set("tracestate", "vendor=42")
		run(obs, items(), r)
		if got, want := span(obs).SpanContext.TraceState().String(), "vendor=42"; got != want {
			t.Errorf("got tracestate %q, want %q", got, want)
		}
	})
	t.Run("HaveNoQuery", func(t *testing.T) {
		obs := newObserved()
		run(obs, items(), httptest.NewRequest("GET", "/items/2?token=secret", nil))
		if s := fmt.Sprint(span(obs).Attributes); strings.Contains(s, "secret") {
			t.Errorf("attributes %s", s)
		}
	})
}

// TestCallerLeft tells a caller who walked away from a dependency that is slow.
func TestCallerLeft(t *testing.T) {
	e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", &httpapi.EndpointOptions{Access: transport.Public})
	t.Run("IsNoError", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			mux := http.NewServeMux()
			httpapi.Handle(mux, e, func(ctx context.Context, _ struct{}) (struct{}, error) {
				<-ctx.Done()
				return struct{}{}, fmt.Errorf("query: %w", ctx.Err())
			})
			mux.HandleFunc("GET /plain", func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				http.Error(w, "oh", http.StatusInternalServerError)
			})
			opaque := httpapi.NewEndpoint[struct{}, struct{}]("GET /opaque", &httpapi.EndpointOptions{Access: transport.Public})
			httpapi.Handle(mux, opaque, func(ctx context.Context, _ struct{}) (struct{}, error) {
				<-ctx.Done()
				return struct{}{}, errors.New("driver: canceling statement due to user request")
			})
			p := startPiped(t, mux, httpserver.Options{})
			for _, path := range []string{"/x", "/plain", "/opaque"} {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				r, _ := http.NewRequestWithContext(ctx, "GET", "http://x"+path, nil)
				if resp, err := p.client.Do(r); err == nil {
					t.Errorf("%s: status %d, want none", path, resp.StatusCode)
				}
				cancel()
			}
			synctest.Wait()
			if n := p.obs.errorLines(t); n != 0 {
				t.Errorf("%d error lines, want none: %v", n, p.obs.lines(t))
			}
			want := map[string]uint64{"GET /x 499": 1, "GET /plain 499": 1, "GET /opaque 499": 1}
			if got := p.obs.series(t); !reflect.DeepEqual(got, want) {
				t.Errorf("series %v, want %v", got, want)
			}
			_, _ = p.wait()
		})
	})
	t.Run("IsNotATimeoutOfOurs", func(t *testing.T) {
		obs, mux := newObserved(), http.NewServeMux()
		httpapi.Handle(mux, e, func(ctx context.Context, _ struct{}) (struct{}, error) {
			ctx, cancel := context.WithDeadline(ctx, time.Now())
			defer cancel()
			return struct{}{}, fmt.Errorf("stock: %w", ctx.Err())
		})
		rec := run(obs, mux, httptest.NewRequest("GET", "/x", nil))
		if rec.Code != 504 || obs.errorLines(t) != 1 {
			t.Errorf("status %d, %d error lines, want 504 and one", rec.Code, obs.errorLines(t))
		}
		if line := obs.lines(t)[0]; line["error"] != "stock: context deadline exceeded" {
			t.Errorf("line %v, want the cause", line)
		}
	})
	t.Run("IsNotACutByTheServer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			mux := http.NewServeMux()
			httpapi.Handle(mux, e, func(ctx context.Context, _ struct{}) (struct{}, error) {
				<-ctx.Done()
				return struct{}{}, ctx.Err()
			})
			p := startPiped(t, mux, httpserver.Options{DrainTimeout: -1})
			var wg sync.WaitGroup
			wg.Go(func() {
				if resp, err := p.client.Get("http://x/x"); err == nil { // the answer may win
					resp.Body.Close()
				}
			})
			synctest.Wait()
			_, _ = p.wait()
			wg.Wait()
			if got, want := p.obs.series(t), map[string]uint64{"GET /x 503": 1}; !reflect.DeepEqual(got, want) {
				t.Errorf("series %v, want %v", got, want)
			}
		})
	})
}

func TestObservePanicsOnAnothersMetric(t *testing.T) {
	obs := newObserved()
	obs.reg.MustRegister(namesake{})
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	httpserver.Observe(obs.options())
}
