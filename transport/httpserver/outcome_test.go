package httpserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func TestRoute(t *testing.T) {
	t.Run("IsTheFunctionsWhereThereIsOne", func(t *testing.T) {
		obs := newObserved()
		o := obs.options()
		o.Route = func(r *http.Request) string {
			if r.URL.Path == "/items/2" {
				return "" // not one of its own
			}
			return "/things/{id}"
		}
		h := httpserver.Observe(o)(items())
		for _, path := range []string{"/items/0", "/items/2"} {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}
		want := map[string]uint64{"GET /things/{id} 200": 1, "GET /items/{id} 200": 1}
		if got := obs.series(t); !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
		if spans := obs.spans.GetSpans(); spans[0].Name != "GET /things/{id}" || spans[1].Name != "GET /items/{id}" {
			t.Errorf("spans %q and %q, want the routes", spans[0].Name, spans[1].Name)
		}
	})
	t.Run("IsTheEndpointsWhereTheFunctionHasNone", func(t *testing.T) {
		obs := newObserved()
		o := obs.options()
		o.Route = func(*http.Request) string { return "" }
		e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", &httpapi.EndpointOptions{Access: transport.Public})
		h := httpserver.Observe(o)(e.Handler(func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }, nil))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
		if got, want := obs.series(t), (map[string]uint64{"GET /x 204": 1}); !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
	t.Run("IsAskedForOnceTheHandlerHasReturned", func(t *testing.T) {
		obs, matched := newObserved(), ""
		o := obs.options()
		o.Route = func(*http.Request) string { return matched }
		h := httpserver.Observe(o)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { matched = "/late" }))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if got, want := obs.series(t), (map[string]uint64{"GET /late 200": 1}); !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
	t.Run("IsKnownOutsideOfLayersThatChangeTheContext", func(t *testing.T) {
		mux := items()
		mux.HandleFunc("GET /panics/{id}", func(http.ResponseWriter, *http.Request) { panic("here") })
		mux.HandleFunc("GET /late/{id}", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		middleware := func(obs *observed) http.Handler {
			return httpserver.Observe(obs.options())(
				httpserver.Authenticate(verifier, nil)(httpserver.Deadline(time.Minute)(mux)))
		}
		server := func(obs *observed) http.Handler {
			return served(t, httpserver.New(httpserver.Deadline(time.Minute)(mux), obs.server(httpserver.Options{
				Addr: "127.0.0.1:0", Verifier: verifier, BeforeAuth: httpserver.SecureHeaders(nil),
			})))
		}
		for name, build := range map[string]func(*observed) http.Handler{"OfMiddleware": middleware, "OfAServer": server} {
			t.Run(name, func(t *testing.T) {
				obs := newObserved()
				h := build(obs)
				for _, path := range []string{"/items/0", "/panics/1", "/late/2", "/nowhere"} {
					r := httptest.NewRequest("GET", path, nil)
					r.Header.Set("Authorization", "Bearer service")
					if strings.HasPrefix(path, "/late") {
						r.Header.Set(transport.HeaderRequestTimeout, "1")
					}
					h.ServeHTTP(httptest.NewRecorder(), r)
				}
				want := map[string]uint64{
					"GET /items/{id} 200": 1, "GET /panics/{id} 500": 1, "GET /late/{id} 504": 1, "GET  404": 1,
				}
				if got := obs.series(t); !reflect.DeepEqual(got, want) {
					t.Errorf("series %v, want %v", got, want)
				}
			})
		}
	})
	t.Run("IsNoPathForLong", func(t *testing.T) {
		obs := newObserved()
		o := obs.options()
		o.Route = func(r *http.Request) string { return r.URL.Path }
		h := httpserver.Observe(o)(items())
		for i := range 1500 {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", fmt.Sprint("/nope/", i), nil))
		}
		got := obs.series(t)
		if len(got) != 1001 || got["GET __other__ 404"] != 500 {
			t.Errorf("%d series, %d of the rest, want 1,001 and 500", len(got), got["GET __other__ 404"])
		}
	})
	t.Run("IsOneSeriesForAllWhoAreFirst", func(t *testing.T) {
		obs := newObserved()
		h := httpserver.Observe(obs.options())(items())
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/items/0", nil)) })
		}
		wg.Wait()
		if got, want := obs.series(t), (map[string]uint64{"GET /items/{id} 200": 100}); !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
}

// served returns a handler that asks s over a connection, and throws its answers away.
func served(t *testing.T, s *httpserver.Server) http.Handler {
	url, _ := start(t, s)
	client := newClient(t)
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		out := request(t, r.Method, url+r.URL.Path, nil)
		out.Header = r.Header
		send(t, client, out)
	})
}

// TestStrangersMakeNoSeries sends what a scanner sends, each time another.
func TestStrangersMakeNoSeries(t *testing.T) {
	obs := newObserved()
	o := obs.options()
	o.TracerProvider = noop.NewTracerProvider()
	o.LogEvery = -1
	h := httpserver.Observe(o)(items())
	attack := func(from, to int) {
		for i := from; i < to; i++ {
			r := httptest.NewRequest(fmt.Sprintf("M%d", i), "/", nil)
			if i%2 == 0 {
				r.Method = "GET"
			}
			r.URL.Path, r.Host = fmt.Sprintf("/%d/%x", i, i), fmt.Sprintf("h%d.example.com", i)
			if i%3 == 0 {
				r.URL.Path = fmt.Sprint("/items/", i)
			}
			r.Header.Set("X-Correlation-Id", strings.Repeat(fmt.Sprint("c", i), 10))
			r.Header.Set("User-Agent", fmt.Sprint("agent/", i))
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	const n = 100_000
	attack(0, n/10)
	series, before := count(t, obs.reg), heap()
	attack(n/10, n)
	// GET on the route and elsewhere, invented methods where there is no route and where there is one for GET.
	if got := len(obs.series(t)); got != 4 {
		t.Errorf("series of durations: got %d (%v), want 4", got, obs.series(t))
	}
	if got := count(t, obs.reg); got != series {
		t.Errorf("series: got %d, %d after a tenth of the attack", got, series)
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes, want less than 1 MiB", grown)
	}
}

// count returns how many series reg has.
func count(t *testing.T, reg prometheus.Gatherer) (n int) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
