package httpclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/internal/pipenet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server and a client of it.
type fixture struct {
	url    string
	client *httpclient.Client
	spans  *tracetest.InMemoryExporter
	tp     *trace.TracerProvider
	reg    *prometheus.Registry
}

func setUp(t *testing.T, h http.HandlerFunc, o httpclient.Options) *fixture {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	f := &fixture{url: srv.URL, spans: tracetest.NewInMemoryExporter(), reg: prometheus.NewRegistry()}
	f.tp = trace.NewTracerProvider(trace.WithSyncer(f.spans))
	o.TracerProvider, o.Registerer = f.tp, f.reg
	f.client = httpclient.New(srv.URL, &o)
	t.Cleanup(f.client.CloseIdleConnections)
	return f
}

// series returns the attempts counted, by "method status error_type".
func (f *fixture) series(t *testing.T) map[string]uint64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			label := make(map[string]string)
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			key := label["http_request_method"] + " " + label["http_response_status_code"] + " " + label["error_type"]
			counts[key] += m.GetHistogram().GetSampleCount()
		}
	}
	return counts
}

func request(t *testing.T, ctx context.Context, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns the body and closes it.
func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("body: %v", err)
	}
	return string(b)
}

var issuer = auth.TokenSourceFunc(func(_ context.Context, audience string) (string, error) {
	return "for-" + audience, nil
})

func TestDoAddsToACopy(t *testing.T) {
	got := make(chan *http.Request, 1)
	f := setUp(t, func(_ http.ResponseWriter, r *http.Request) { got <- r },
		httpclient.Options{TokenSource: issuer, Audience: "users"})
	ctx, span := f.tp.Tracer("t").Start(correlation.NewContext(t.Context(), "c-1"), "caller")
	defer span.End()
	r := request(t, ctx, "GET", "/users/a%2Fb?x=1", nil)
	before := r.Clone(ctx)
	resp, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	sent := <-got

	if sent.URL.EscapedPath() != "/users/a%2Fb" || sent.URL.RawQuery != "x=1" {
		t.Errorf("sent to %s", sent.URL)
	}
	if ids := sent.Header["X-Correlation-Id"]; !reflect.DeepEqual(ids, []string{"c-1"}) {
		t.Errorf("correlation %q, want c-1", ids)
	}
	if a := sent.Header.Get("Authorization"); a != "Bearer for-users" {
		t.Errorf("Authorization %q", a)
	}
	if tp := sent.Header.Get("Traceparent"); !strings.Contains(tp, span.SpanContext().TraceID().String()) {
		t.Errorf("traceparent %q, want trace %s", tp, span.SpanContext().TraceID())
	}
	if !reflect.DeepEqual(r.Header, before.Header) || r.URL.String() != before.URL.String() {
		t.Errorf("the caller's request became %v %v", r.URL, r.Header)
	}
}

func TestDoSendsNoBrokenCorrelationID(t *testing.T) {
	got := make(chan http.Header, 1)
	f := setUp(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }, httpclient.Options{})
	ctx := correlation.NewContext(t.Context(), "abc\r\nX-Evil: 1")
	resp, err := f.client.Do(request(t, ctx, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	h := <-got
	if ids := h["X-Correlation-Id"]; h.Get("X-Evil") != "" || len(ids) != 1 || !correlation.Valid(ids[0]) {
		t.Errorf("headers %v, want one valid ID", h)
	}
}

func TestDoResolves(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.EscapedPath()) })
	srv := httptest.NewServer(echo)
	defer srv.Close()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request left the base URL's origin")
	}))
	defer other.Close()
	for _, tt := range []struct{ base, url, want string }{
		{srv.URL, "/a", "/a"},
		{srv.URL + "/", "/a", "/a"},
		{srv.URL + "/api/", "/a%2fb", "/api/a%2fb"},
		{srv.URL + "/a%2Fb", "/c", "/a%2Fb/c"},
		{srv.URL, srv.URL + "/abs", "/abs"},
		{srv.URL, other.URL, ""},
		{srv.URL, strings.TrimPrefix(other.URL, "http:"), ""},
		{srv.URL, "a", ""},
		{srv.URL, "?x", ""},
		{"users:8080", "/a", ""},
		{"ftp://users", "/a", ""},
		{"http://", "/a", ""},
		{"http://u:p@users", "/a", ""},
		{"http://users/?q", "/a", ""},
		{"http://us ers", "/a", ""},
	} {
		c := httpclient.New(tt.base, &httpclient.Options{Registerer: prometheus.NewRegistry()})
		resp, err := c.Do(request(t, t.Context(), "GET", tt.url, nil))
		if tt.want == "" {
			if err == nil {
				t.Errorf("%q + %q: status %d, want an error", tt.base, tt.url, resp.StatusCode)
			} else if !strings.HasPrefix(err.Error(), "httpclient: ") || strings.Contains(err.Error(), "u:p") {
				t.Errorf("%q + %q: %v", tt.base, tt.url, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q + %q: %v", tt.base, tt.url, err)
			continue
		}
		if got := read(t, resp); got != tt.want {
			t.Errorf("%q + %q reached %q, want %q", tt.base, tt.url, got, tt.want)
		}
		c.CloseIdleConnections()
	}
	if err := httpclient.New("users", nil).Err(); err == nil {
		t.Error("Err of a base URL that is none: nil")
	}
	o := &httpclient.Options{TokenSource: issuer, Registerer: prometheus.NewRegistry()}
	if err := httpclient.New("http://users", o).Err(); err == nil {
		t.Error("Err of a token for nobody: nil")
	}
}

func TestTokenStaysAtItsOrigin(t *testing.T) {
	seen := make(chan string, 4)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- "other " + r.Header.Get("Authorization")
	}))
	defer other.Close()
	f := setUp(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.URL.Path + " " + r.Header.Get("Authorization")
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/here", http.StatusFound)
		}
	}, httpclient.Options{TokenSource: issuer, Audience: "users"})
	next := func() string {
		select {
		case s := <-seen:
			return s
		default:
			return "nothing"
		}
	}
	do := func(c interface {
		Do(*http.Request) (*http.Response, error)
	}, url, want string, statuses int,
	) {
		t.Helper()
		resp, err := c.Do(request(t, t.Context(), "GET", url, nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != statuses {
			t.Errorf("%s: status %d, want %d", url, resp.StatusCode, statuses)
		}
		_ = next()
		if got := next(); got != want {
			t.Errorf("%s led to %q, want %q", url, got, want)
		}
	}
	do(f.client, "/near", "/here Bearer for-users", 200)
	do(f.client, "/away", "nothing", 302)

	// An http.Client that follows everything, over our transport.
	rt := httpclient.NewTransport(http.DefaultTransport.(*http.Transport).Clone(), &httpclient.TransportOptions{
		TokenSource: issuer, Audience: "users", Registerer: f.reg,
	})
	plain := &http.Client{Transport: rt}
	defer plain.CloseIdleConnections()
	do(plain, f.url+"/near", "/here Bearer for-users", 200)
	do(plain, f.url+"/away", "other ", 200)
}

func TestDoKeepsTheCallersCredential(t *testing.T) {
	f := setUp(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Authorization"]) },
		httpclient.Options{TokenSource: issuer, Audience: "users"})
	r := request(t, t.Context(), "GET", "/", nil)
	r.Header.Set("Authorization", "Bearer mine")
	resp, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, resp); got != "[Bearer mine]" {
		t.Errorf("Authorization %s, want the caller's", got)
	}
}

func TestDoReturnsTheTokenSourcesError(t *testing.T) {
	boom := errors.New("no key")
	f := setUp(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }, httpclient.Options{
		Audience:    "users",
		TokenSource: auth.TokenSourceFunc(func(context.Context, string) (string, error) { return "", boom }),
	})
	if _, err := f.client.Do(request(t, t.Context(), "GET", "/", nil)); !errors.Is(err, boom) {
		t.Errorf("Do: %v, want %v", err, boom)
	}
}

func TestTimeoutBoundsTheBodyToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := pipenet.New()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		})}
		go srv.Serve(ln)
		tr := ln.Transport()
		c := httpclient.New("http://x", &httpclient.Options{Base: tr, Registerer: prometheus.NewRegistry()})
		begin := time.Now()
		if _, err := c.Do(request(t, t.Context(), "GET", "/header", nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no header: %v, want a deadline error", err)
		}
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("no header: %v, want 30s", took)
		}
		begin = time.Now()
		resp, err := c.Do(request(t, t.Context(), "GET", "/body", nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no body: %v, want a deadline error", err)
		}
		resp.Body.Close()
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("no body: %v, want 30s", took)
		}
		tr.CloseIdleConnections()
		srv.Close()
	})
}

func TestSpans(t *testing.T) {
	f := setUp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/404":
			w.WriteHeader(404)
		case "/503":
			w.WriteHeader(503)
		case "/hang":
			<-r.Context().Done()
		}
	}, httpclient.Options{})
	for path, want := range map[string]codes.Code{"/ok": codes.Unset, "/404": codes.Error, "/503": codes.Error} {
		f.spans.Reset()
		resp, err := f.client.Do(request(t, t.Context(), "GET", path+"?secret", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		spans := f.spans.GetSpans()
		if len(spans) != 1 || spans[0].Status.Code != want || spans[0].Name != "GET" {
			t.Errorf("%s: spans %v, want one GET, %v", path, spans, want)
		}
		if strings.Contains(fmt.Sprint(spans[0].Attributes), "secret") {
			t.Errorf("%s: the span holds the query", path)
		}
	}
	f.spans.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := f.client.Do(request(t, ctx, "GET", "/hang", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if spans := f.spans.GetSpans(); len(spans) != 1 || spans[0].Status.Code != codes.Unset {
		t.Errorf("cancelled: spans %v, want one that is no error", spans)
	}
	want := map[string]uint64{"GET 200 ": 1, "GET 404 404": 1, "GET 503 503": 1, "GET  canceled": 1}
	if got := f.series(t); !reflect.DeepEqual(got, want) {
		t.Errorf("series %v, want %v", got, want)
	}
}

func TestErrorTypes(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // it will speak of our bad certificate
	tls.StartTLS()
	defer tls.Close()
	for base, want := range map[string]string{
		"http://" + refused.Addr().String(): "connect",
		"http://no.such.host.invalid":       "dns",
		tls.URL:                             "tls",
	} {
		reg := prometheus.NewRegistry()
		c := httpclient.New(base, &httpclient.Options{Registerer: reg})
		if resp, err := c.Do(request(t, t.Context(), "GET", "/", nil)); err == nil {
			t.Errorf("%s: status %d", base, resp.StatusCode)
		}
		f := fixture{reg: reg}
		if got := f.series(t); !reflect.DeepEqual(got, map[string]uint64{"GET  " + want: 1}) {
			t.Errorf("%s: %v, want %s", base, got, want)
		}
	}
}

// quick is a policy with waits too short to notice.
func quick(o resilience.Options) *resilience.Policy {
	o.Logger = slog.New(slog.DiscardHandler)
	o.Retry.MinBackoff, o.Retry.MaxBackoff = time.Microsecond, time.Microsecond
	return resilience.New("p", &o)
}

func TestPolicyRetriesTheWholeBody(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	sum := sha256.Sum256(data)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		body     func() (io.Reader, func() (io.ReadCloser, error))
		attempts int64
		status   int
	}{
		{"Buffer", func() (io.Reader, func() (io.ReadCloser, error)) { return bytes.NewReader(data), nil }, 2, 200},
		{"File", func() (io.Reader, func() (io.ReadCloser, error)) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			return f, func() (io.ReadCloser, error) { return os.Open(file) }
		}, 2, 200},
		{"OneShot", func() (io.Reader, func() (io.ReadCloser, error)) {
			return io.MultiReader(bytes.NewReader(data)), nil
		}, 1, 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var attempts atomic.Int64
			f := setUp(t, func(w http.ResponseWriter, r *http.Request) {
				if attempts.Add(1) == 1 {
					_, _ = io.CopyN(io.Discard, r.Body, 1<<19)
					w.WriteHeader(503)
					return
				}
				h := sha256.New()
				n, _ := io.Copy(h, r.Body)
				if !bytes.Equal(h.Sum(nil), sum[:]) || r.ContentLength != int64(len(data)) || n != r.ContentLength {
					t.Errorf("the second attempt carried %d of %d bytes, or others", n, len(data))
				}
			}, httpclient.Options{Policy: quick(resilience.Options{})})
			body, again := tt.body()
			r := request(t, t.Context(), "PUT", "/", body)
			if again != nil {
				r.GetBody, r.ContentLength = again, int64(len(data))
			}
			resp, err := f.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.status || attempts.Load() != tt.attempts {
				t.Errorf("status %d after %d attempts, want %d after %d", resp.StatusCode, attempts.Load(), tt.status, tt.attempts)
			}
		})
	}
}

func TestPolicyRetriesByMethod(t *testing.T) {
	for _, tt := range []struct {
		method, key string
		want        int64
	}{
		{"GET", "", 3}, {"HEAD", "", 3}, {"PUT", "", 3}, {"DELETE", "", 3},
		{"POST", "", 1}, {"PATCH", "", 1}, {"POST", "k-1", 3}, {"PATCH", "k-1", 3},
	} {
		t.Run(tt.method+tt.key, func(t *testing.T) {
			var actions atomic.Int64
			f := setUp(t, func(_ http.ResponseWriter, r *http.Request) {
				actions.Add(1)
				if r.Header.Get("Idempotency-Key") != tt.key {
					t.Errorf("key %q, want %q", r.Header.Get("Idempotency-Key"), tt.key)
				}
				panic(http.ErrAbortHandler)
			}, httpclient.Options{Policy: quick(resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1}}),
				Base: &http.Transport{DisableKeepAlives: true}})
			r := request(t, t.Context(), tt.method, "/", nil)
			if tt.key != "" {
				r.Header.Set("Idempotency-Key", tt.key)
			}
			if resp, err := f.client.Do(r); err == nil {
				t.Errorf("status %d, want an error", resp.StatusCode)
			}
			if got := actions.Load(); got != tt.want {
				t.Errorf("%d actions, want %d", got, tt.want)
			}
		})
	}
}

func TestPolicyReadsStatuses(t *testing.T) {
	for status, want := range map[int]struct {
		attempts int64
		open     bool // after 20 calls, threshold 5
	}{
		200: {1, false}, 400: {1, false}, 404: {1, false}, 409: {1, false}, 501: {1, false},
		408: {3, true}, 425: {3, true}, 429: {3, true}, 500: {3, true}, 502: {3, true}, 503: {3, true},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var calls atomic.Int64
			f := setUp(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(status)
				fmt.Fprint(w, "the body")
			}, httpclient.Options{Policy: quick(resilience.Options{})})
			resp, err := f.client.Do(request(t, t.Context(), "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if body := read(t, resp); resp.StatusCode != status || body != "the body" || calls.Load() != want.attempts {
				t.Errorf("%d %q after %d attempts, want the response after %d", resp.StatusCode, body, calls.Load(), want.attempts)
			}
			for range 20 {
				resp, err = f.client.Do(request(t, t.Context(), "GET", "/", nil))
				if err == nil {
					resp.Body.Close()
				}
			}
			if got := errors.Is(err, resilience.ErrOpen); got != want.open {
				t.Errorf("after 20 calls: %v, want open %t", err, want.open)
			}
			if want.open && calls.Load() != 5 {
				t.Errorf("%d attempts reached the server, want the 5 that opened the breaker", calls.Load())
			}
		})
	}
}

func TestPolicyOpensForARefusedConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := httpclient.New("http://"+ln.Addr().String(), &httpclient.Options{
		Policy: quick(resilience.Options{}), Registerer: prometheus.NewRegistry(),
	})
	for range 3 {
		_, err = c.Do(request(t, t.Context(), "POST", "/", nil))
		if errors.Is(err, resilience.ErrOpen) {
			t.Fatalf("open too early: %v", err)
		}
	}
	for range 3 {
		_, err = c.Do(request(t, t.Context(), "POST", "/", nil))
	}
	if !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("after 6 refused connections: %v, want ErrOpen: a POST counts too", err)
	}
}

// TestPolicyLeaksNothing looks at the server's side: connections are used again.
func TestPolicyLeaksNothing(t *testing.T) {
	var conns, calls atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%2 == 1 {
			w.WriteHeader(503)
		}
		_, _ = w.Write(make([]byte, 4096))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := httpclient.New(srv.URL, &httpclient.Options{Policy: quick(resilience.Options{}), Registerer: prometheus.NewRegistry()})
	defer c.CloseIdleConnections()
	for range 1000 {
		resp, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(read(t, resp)); resp.StatusCode != 200 || n != 4096 {
			t.Fatalf("status %d, %d bytes", resp.StatusCode, n)
		}
	}
	if got := conns.Load(); got > 20 {
		t.Errorf("%d connections for 2000 attempts in a row, want a few", got)
	}
}

func TestPolicyAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := pipenet.New()
		var calls atomic.Int64
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			fmt.Fprint(w, "first half, ")
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Second) // far beyond the attempt's time
			fmt.Fprint(w, "second half")
		})}
		go srv.Serve(ln)
		tr := ln.Transport()
		reg := prometheus.NewRegistry()
		c := httpclient.New("http://x", &httpclient.Options{
			Base: tr, Registerer: reg, Policy: quick(resilience.Options{AttemptTimeout: time.Second}),
		})
		resp, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, resp); got != "first half, second half" {
			t.Errorf("body %q, want it whole: the attempt's time ends with the header", got)
		}
		f := fixture{reg: reg}
		if got, want := f.series(t), map[string]uint64{"GET  timeout": 1, "GET 200 ": 1}; !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
		tr.CloseIdleConnections()
		srv.Close()
	})
}

// deaf is a transport that says "canceled" whatever ended the request's context.
type deaf struct{}

func (deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestPolicyCountsItsOwnTimeoutsWhateverTheTransportSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		c := httpclient.New("http://x", &httpclient.Options{
			Base: deaf{}, Registerer: reg, Policy: quick(resilience.Options{AttemptTimeout: time.Second}),
		})
		_, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("Do: %v, want a deadline error", err)
		}
		f := fixture{reg: reg}
		if got, want := f.series(t), map[string]uint64{"GET  timeout": 3}; !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
}

func TestPolicyEndsItsWaitWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := httpclient.New("http://x", &httpclient.Options{
			Base: always(503), Registerer: prometheus.NewRegistry(),
			Policy: resilience.New("p", &resilience.Options{
				Retry: resilience.RetryOptions{MinBackoff: 10 * time.Second, MaxBackoff: 10 * time.Second},
			}),
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		_, err := c.Do(request(t, ctx, "GET", "/", nil))
		status, ok := errors.AsType[*httpclient.StatusError](err)
		if !errors.Is(err, context.Canceled) || !ok || status.StatusCode != 503 || time.Since(begin) != time.Second {
			t.Errorf("Do: %v after %v, want the cancellation and the 503 after 1s", err, time.Since(begin))
		}
	})
}

// always is a transport that has one answer.
type always int

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Body: http.NoBody, Request: r}, nil
}

func TestPolicyCallerLeaves(t *testing.T) {
	f := setUp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, httpclient.Options{
		Policy: quick(resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1}}),
	})
	for range 5 {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Millisecond, func() { cancel(errors.New("page closed")) })
		if _, err := f.client.Do(request(t, ctx, "GET", "/", nil)); errors.Is(err, resilience.ErrOpen) || err == nil {
			t.Fatalf("Do: %v, want a cancellation, and the breaker closed", err)
		}
	}
	if got := f.series(t)["GET  timeout"]; got != 0 {
		t.Errorf("%d time-outs, want none", got)
	}
}

func TestNewTransportPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a token for nobody: no panic")
		}
	}()
	httpclient.NewTransport(nil, &httpclient.TransportOptions{TokenSource: issuer, Registerer: prometheus.NewRegistry()})
}
