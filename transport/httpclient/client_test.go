package httpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/internal/outcall"
	"github.com/mainstay-go/mainstay/transport/internal/pipenet"
)

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
	forgotten := &httpclient.Options{Audience: "users", Registerer: prometheus.NewRegistry()}
	if err := httpclient.New("http://users", forgotten).Err(); err == nil {
		t.Error("an Audience without a TokenSource is accepted")
	}
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
	plain := &http.Client{Transport: httpclient.Authorize(issuer, "users")(httpclient.NewPool(nil))}
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

func TestDoTellsWhyItsCallerLeft(t *testing.T) {
	// Some transports tell the context's error, some its cause.
	says := map[string]func(context.Context) error{"Error": context.Context.Err, "Cause": context.Cause}
	for transportSays, end := range says {
		for name, p := range map[string]*resilience.Policy{
			"NoPolicy": nil, "Policy": quick(resilience.Options{}), "Hedging": hedging(resilience.Options{}),
		} {
			t.Run(transportSays+name, func(t *testing.T) {
				left := errors.New("the page was left")
				var leave context.CancelCauseFunc
				base := tripper(func(r *http.Request) (*http.Response, error) {
					leave(left)
					<-r.Context().Done()
					return nil, end(r.Context())
				})
				do := map[string]func(*http.Request) (*http.Response, error){
					"client": httpclient.New("http://x", &httpclient.Options{Base: base, Policy: p, Registerer: prometheus.NewRegistry()}).Do,
				}
				if p != nil {
					do["layer"] = httpclient.Guard(p)(base).RoundTrip
				}
				for kind, do := range do {
					ctx, cancel := context.WithCancelCause(t.Context())
					leave = cancel
					_, err := do(request(t, ctx, "GET", "http://x/?secret", nil))
					if !errors.Is(err, context.Canceled) || !errors.Is(err, left) || strings.Contains(err.Error(), "secret") {
						t.Errorf("%s: got %v, want one that matches context.Canceled and %q, without the query", kind, err, left)
					}
					if got := transport.AsError(err).Code; got != transport.Canceled {
						t.Errorf("%s: coded %v, want %v", kind, got, transport.Canceled)
					}
					if strings.Count(err.Error(), left.Error()) != 1 {
						t.Errorf("%s: got %v, want the cause once", kind, err)
					}
				}
			})
		}
	}
}

// A stream's time-out ends its context by a cause, since it does not hold for the body.
func TestAStreamThatDoesNotBeginTimesOut(t *testing.T) {
	for name, p := range map[string]*resilience.Policy{"NoPolicy": nil, "Policy": quick(resilience.Options{})} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := httpclient.New("http://x", &httpclient.Options{
					Timeout: time.Second, Policy: p, Registerer: prometheus.NewRegistry(),
					Base: tripper(func(r *http.Request) (*http.Response, error) {
						<-r.Context().Done()
						return nil, context.Cause(r.Context())
					}),
				})
				ctx := outcall.NewContext(t.Context(), outcall.Call{Stream: true})
				_, err := c.Do(request(t, ctx, "GET", "/", nil))
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want DeadlineExceeded and nothing of a caller that left", err)
				}
			})
		})
	}
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
	nameless := &net.Dialer{Resolver: &net.Resolver{PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrDeadlineExceeded }}}
	for base, want := range map[string]string{
		"http://" + refused.Addr().String(): "connect",
		"http://no.such.host.invalid":       "dns",
		tls.URL:                             "tls",
	} {
		reg := prometheus.NewRegistry()
		c := httpclient.New(base, &httpclient.Options{
			Registerer: reg, Base: &http.Transport{DialContext: nameless.DialContext},
		})
		if resp, err := c.Do(request(t, t.Context(), "GET", "/", nil)); err == nil {
			t.Errorf("%s: status %d", base, resp.StatusCode)
		}
		f := fixture{reg: reg}
		if got := f.series(t); !reflect.DeepEqual(got, map[string]uint64{"GET  " + want: 1}) {
			t.Errorf("%s: %v, want %s", base, got, want)
		}
	}
}
