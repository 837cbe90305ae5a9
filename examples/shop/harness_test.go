package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// TestMain is also the main function of the demo's services: the demo runs this program again for each of them.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if s, ok := find(os.Args[1]); ok {
			os.Exit(child(s, os.Args[2:]))
		}
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait for something that has to happen.
const patience = 30 * time.Second

// secret is the tests' own.
const secret = "a secret of the tests' own, 32 bytes or more"

// shop is a running shop.
type shop struct {
	site
	logs  *logs
	spans *spans
	// stop closes the shop and waits until it is closed. It fails the test where that was not clean.
	stop func()

	opened chan site
	ended  chan error
}

// openShop opens a shop, which the end of the test closes.
func openShop(t *testing.T, o options) *shop {
	t.Helper()
	s := startShop(t, o)
	s.awaitOpen(t)
	return s
}

// startShop is openShop for a shop that cannot open yet.
func startShop(t *testing.T, o options) *shop {
	t.Helper()
	s := &shop{logs: &logs{}, spans: &spans{}, opened: make(chan site, 1), ended: make(chan error, 1)}
	o.logs, o.out = s.logs, io.Discard
	if o.otlp == "" {
		o.exporter = s.spans
	}
	o.secretFile = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(o.secretFile, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	o.opened = func(at site) { s.opened <- at }
	go func() { s.ended <- serve(ctx, o) }()
	s.stop = sync.OnceFunc(func() {
		http.DefaultClient.CloseIdleConnections() // first: a server waits 5s for a connection that was never used
		cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("the shop ended with %v, want a clean end", err)
		}
		if t.Failed() {
			t.Logf("logs:\n%s", s.logs)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// awaitOpen waits until every service is ready.
func (s *shop) awaitOpen(t *testing.T) {
	t.Helper()
	select {
	case s.site = <-s.opened:
	case err := <-s.ended:
		s.ended <- nil // said here
		t.Fatalf("the shop did not open: %v", err)
	case <-time.After(patience):
		t.Fatalf("the shop did not open within %v", patience)
	}
}

// base returns the address of orders.
func (s *shop) base() string { return "http://" + s.http["orders"] }

// direct calls orders with nothing but net/http, plus the headers in it.
type direct struct {
	base   string
	header http.Header
}

func (d direct) Do(r *http.Request) (*http.Response, error) {
	u, err := r.URL.Parse(d.base + r.URL.RequestURI())
	if err != nil {
		return nil, err
	}
	r.URL = u
	for k, vs := range d.header {
		r.Header[k] = vs
	}
	return http.DefaultClient.Do(r)
}

func (s *shop) caller() direct { return direct{base: s.base()} }

func order(key string) contract.PlaceOrderRequest {
	return contract.PlaceOrderRequest{IdempotencyKey: key, CustomerID: "alice", SKU: "tea", Quantity: 2}
}

// place places an order and returns it.
func (s *shop) place(t *testing.T, req contract.PlaceOrderRequest) contract.Order {
	t.Helper()
	o, err := contract.PlaceOrder.Call(t.Context(), s.caller(), req)
	if err != nil {
		t.Fatalf("place: %v", err)
	}
	return o
}

// awaitPaid waits until the order is paid, which is the end of its way through the services but notifications.
func (s *shop) awaitPaid(t *testing.T, id string) {
	t.Helper()
	await(t, "order "+id+" to be paid", func() bool {
		o, err := contract.GetOrder.Call(t.Context(), s.caller(), contract.GetOrderRequest{ID: id})
		return err == nil && o.Status == contract.Paid
	})
}

// completeOrder places the customer's order, and waits until it is through all services.
func (s *shop) completeOrder(t *testing.T) contract.Order {
	t.Helper()
	return s.completeOrderOf(t, customer())
}

// customer returns the headers of the customer's order.
func customer() http.Header {
	return http.Header{
		correlation.Header: {customerCorrelation},
		"Traceparent":      {"00-" + customerTrace + "-" + customerSpan + "-01"},
	}
}

func (s *shop) completeOrderOf(t *testing.T, header http.Header) contract.Order {
	t.Helper()
	placed, err := contract.PlaceOrder.Call(t.Context(), direct{s.base(), header}, order(correlation.New()))
	if err != nil {
		t.Fatalf("place: %v", err)
	}
	s.awaitPaid(t, placed.ID)
	await(t, "the customer to be notified", func() bool {
		for _, line := range s.logs.linesWith(placed.ID) {
			if strings.Contains(line, "service=notifications") {
				return true
			}
		}
		return false
	})
	return placed
}

// await waits until done is true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// logs is what all services wrote.
type logs struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	muted bool
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.muted {
		return len(p), nil
	}
	return l.buf.Write(p)
}

// mute forgets all that is written from now on.
func (l *logs) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// linesWith returns the lines that hold s.
func (l *logs) linesWith(s string) []string {
	var lines []string
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, s) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// spans keeps every span in memory, after the shop has closed too.
type spans struct {
	mu  sync.Mutex
	all []spanfile.Span
}

func (s *spans) ExportSpans(_ context.Context, ss []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range ss {
		s.all = append(s.all, spanfile.FromSDK(sp))
	}
	return nil
}

func (s *spans) Shutdown(context.Context) error { return nil }

func (s *spans) list() []spanfile.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]spanfile.Span(nil), s.all...)
}

// get returns the status and the body of a GET.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
