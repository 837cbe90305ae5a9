package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// observed is where a test finds what a server observed.
type observed struct {
	reg   *prometheus.Registry
	spans *tracetest.InMemoryExporter
	tp    *trace.TracerProvider
	mu    sync.Mutex
	log   bytes.Buffer
}

func newObserved() *observed {
	spans := tracetest.NewInMemoryExporter()
	return &observed{reg: prometheus.NewRegistry(), spans: spans, tp: trace.NewTracerProvider(trace.WithSyncer(spans))}
}

func (o *observed) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.Write(p)
}

func (o *observed) logger() *slog.Logger {
	return logging.New(o, &logging.Options{Attrs: []func(context.Context) []slog.Attr{auth.LogAttrs}})
}

func (o *observed) options() *httpserver.ObserveOptions {
	return &httpserver.ObserveOptions{Logger: o.logger(), TracerProvider: o.tp, Registerer: o.reg}
}

// server returns options that observe into o.
func (o *observed) server(opts httpserver.Options) *httpserver.Options {
	opts.Logger, opts.TracerProvider, opts.Registerer = o.logger(), o.tp, o.reg
	if opts.Verifier == nil {
		opts.Unauthenticated = true
	}
	return &opts
}

// lines returns the log, a record each.
func (o *observed) lines(t *testing.T) []map[string]any {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []map[string]any
	for line := range strings.Lines(o.log.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		all = append(all, record)
	}
	return all
}

// errorLines counts the records at level error.
func (o *observed) errorLines(t *testing.T) int {
	t.Helper()
	n := 0
	for _, record := range o.lines(t) {
		if record["level"] == "ERROR" {
			n++
		}
	}
	return n
}

// series returns the requests counted, by "method route status".
func (o *observed) series(t *testing.T) map[string]uint64 {
	t.Helper()
	families, err := o.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, f := range families {
		if f.GetName() != "http_server_request_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			label := make(map[string]string)
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			key := label["http_request_method"] + " " + label["http_route"] + " " + label["http_response_status_code"]
			counts[key] += m.GetHistogram().GetSampleCount()
		}
	}
	return counts
}

// active returns the sum of the in-flight gauge.
func (o *observed) active(t *testing.T) (sum float64) {
	t.Helper()
	families, err := o.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "http_server_active_requests" {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// start runs s and returns its base URL and a function that ends it and returns Run's error.
func start(t *testing.T, s *httpserver.Server) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	select {
	case <-s.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("Run: %v", err)
	}
	return "http://" + s.Addr(), stop
}

// newClient returns a client whose connections end with the test.
func newClient(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// send returns status and body.
func send(t *testing.T, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", r.Method, r.URL, err)
	}
	return resp, string(body)
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verifier knows three tokens.
var verifier = auth.VerifierFunc(func(_ context.Context, token string) (auth.Principal, error) {
	switch token {
	case "service":
		return auth.Principal{Subject: "orders", Kind: auth.KindService}, nil
	case "user":
		return auth.Principal{Subject: "ada", Kind: auth.KindUser}, nil
	case "unsure":
		return auth.Principal{}, auth.ErrUnavailable
	case "expired":
		return auth.Principal{}, errors.Join(errors.New("jwt: expired 5m ago"), auth.ErrInvalidToken)
	}
	return auth.Principal{}, errors.Join(errors.New("jwt: unknown key"), auth.ErrInvalidToken)
})
