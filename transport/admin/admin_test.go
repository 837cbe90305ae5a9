package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/admin"
	"github.com/mainstay-go/mainstay/transport/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server and returns a function that asks it.
func start(t *testing.T, o *admin.Options) (s *admin.Server, ask func(method, path, body string) (int, string)) {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s = admin.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tr := &http.Transport{}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-s.Ready()
	return s, func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: tr}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
}

func TestPages(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "orders_total", Help: "x"}))
	_, ask := start(t, &admin.Options{Gatherer: reg, Level: new(slog.LevelVar)})
	for _, tt := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, `href="metrics"`},
		{"/metrics", 200, "orders_total 0"},
		{"/livez", 200, `"ok"`},
		{"/startupz", 200, `"ok"`},
		{"/readyz", 200, `"ok"`},
		{"/log/level", 200, "INFO\n"},
		{"/buildinfo", 200, `"GoVersion": "go`},
		{"/debug/runtime", 200, `"goroutines": `},
		{"/debug/pprof/", 200, "goroutine?debug=1"},
		{"/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
		{"/debug/pprof/heap?gc=1", 200, "\x1f\x8b"},
		{"/debug/pprof/profile?seconds=0.05", 200, "\x1f\x8b"},
		{"/debug/pprof/trace?seconds=0.05", 200, "go 1."},
		{"/debug/pprof/nope", 404, ""},
		{"/debug/pprof/heap?debug=9", 400, "debug must be"},
		{"/debug/pprof/profile?seconds=301", 400, "at most 300"},
		{"/debug/pprof/profile?seconds=NaN", 400, "above 0"},
		{"/debug/pprof/trace?seconds=-1", 400, "above 0"},
		{"/nope", 404, ""},
	} {
		if status, body := ask("GET", tt.path, ""); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("GET %s: %d %.60q, want %d with %q", tt.path, status, body, tt.status, tt.body)
		}
	}
}

func TestPagesOfTheOptions(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page "+r.URL.Path) })
	_, ask := start(t, &admin.Options{Pages: map[string]http.Handler{"/debug/<x>/": page}})
	for _, tt := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, `<a href="debug/&lt;x&gt;/">`},
		{"/debug/%3Cx%3E/", 200, "page /"},
		{"/debug/%3Cx%3E/a/1", 200, "page /a/1"},
		{"/debug/pprof/", 200, "goroutine?debug=1"},
	} {
		if status, body := ask("GET", tt.path, ""); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("GET %s: %d %.200q, want %d with %q", tt.path, status, body, tt.status, tt.body)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a page without a slash at its beginning is taken")
		}
	}()
	admin.New(&admin.Options{Pages: map[string]http.Handler{"debug": page}})
}

func TestLevel(t *testing.T) {
	var log bytes.Buffer
	var level slog.LevelVar
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: &level}))
	_, ask := start(t, &admin.Options{Level: &level, Logger: logger})
	for _, tt := range []struct {
		body   string
		status int
		want   slog.Level
	}{
		{"debug", 200, slog.LevelDebug},
		{"loud", 400, slog.LevelDebug},
		{"", 400, slog.LevelDebug},
		{strings.Repeat("x", 1000), 400, slog.LevelDebug},
		{" ERROR\n", 200, slog.LevelError},
		{"WARN+2", 200, slog.LevelWarn + 2},
	} {
		status, body := ask("PUT", "/log/level", tt.body)
		if status != tt.status || level.Level() != tt.want {
			t.Errorf("PUT %.20q: %d, level %v, want %d, %v", tt.body, status, level.Level(), tt.status, tt.want)
		}
		if status == 200 && strings.TrimSpace(body) != tt.want.String() {
			t.Errorf("PUT %q: answered %q, want %v", tt.body, body, tt.want)
		}
	}
	if n := strings.Count(log.String(), "log level changed"); n != 3 {
		t.Errorf("%d changes in the log, want 3:\n%s", n, log.String())
	}
	_, none := start(t, &admin.Options{})
	if status, _ := none("GET", "/log/level", ""); status != 404 {
		t.Errorf("without a Level: %d, want 404", status)
	}
}

func TestLevelsByName(t *testing.T) {
	var log bytes.Buffer
	var levels logging.Levels
	logger := logging.New(&log, &logging.Options{Levels: &levels})
	long := strings.Repeat("x", 257)
	_, ask := start(t, &admin.Options{Level: new(slog.LevelVar), Levels: &levels, Logger: logger})
	for _, tt := range []struct {
		method, query, body string
		status              int
		want                string
	}{
		{"GET", "", "", 200, "INFO\n"},
		{"PUT", "?logger=orders", "debug", 200, "DEBUG\n"},
		{"GET", "?logger=orders", "", 200, "DEBUG\n"},
		{"PUT", "?logger=a%0Ab", "warn", 200, "WARN\n"},
		{"PUT", "?logger=orders", "loud", 400, ""},
		{"PUT", "?logger=" + long, "debug", 400, "at most 256"},
		{"GET", "", "", 200, "INFO\nWARN \"a\\nb\"\nDEBUG \"orders\"\n"},
		{"DELETE", "?logger=a%0Ab", "", 204, ""},
		{"GET", "?logger=a%0Ab", "", 404, ""},
		{"DELETE", "", "", 400, "?logger=NAME"},
		{"GET", "", "", 200, "INFO\nDEBUG \"orders\"\n"},
	} {
		status, body := ask(tt.method, "/log/level"+tt.query, tt.body)
		if status != tt.status || !strings.HasPrefix(body, tt.want) && !strings.Contains(body, tt.want) ||
			status == 200 && body != tt.want {
			t.Errorf("%s %.30s: %d %q, want %d %q", tt.method, tt.query, status, body, tt.status, tt.want)
		}
	}
	logger.With("logger", "orders").Debug("seen")
	logger.Debug("unseen")
	if s := log.String(); strings.Count(s, "log level changed") != 3 || !strings.Contains(s, `"seen"`) ||
		strings.Contains(s, "unseen") {
		t.Errorf("log:\n%s\nwant three changes, and the one line of orders", s)
	}
	for i := range 1000 {
		levels.Set(fmt.Sprint(i), slog.LevelInfo)
	}
	if status, _ := ask("PUT", "/log/level?logger=another", "debug"); status != 409 {
		t.Errorf("past 1,000 names: %d, want 409", status)
	}
	if status, _ := ask("PUT", "/log/level?logger=7", "debug"); status != 200 {
		t.Errorf("a name of the 1,000: %d, want 200", status)
	}
	for name, o := range map[string]*admin.Options{
		"?logger=x": {Level: new(slog.LevelVar)}, "": {Levels: &logging.Levels{}},
	} {
		_, ask := start(t, o)
		if status, _ := ask("PUT", "/log/level"+name, "debug"); status != 404 {
			t.Errorf("PUT %q of a server that has no such levels: %d, want 404", name, status)
		}
	}
}

func TestMetricsHaveExemplars(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "x", Buckets: []float64{1}})
	reg.MustRegister(h)
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(0.5, prometheus.Labels{"trace_id": "abc"})
	s, _ := start(t, &admin.Options{Gatherer: reg})
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.Addr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := `h_bucket{le="1.0"} 1 # {trace_id="abc"} 0.5`; err != nil || !strings.Contains(string(body), want) ||
		!strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text") {
		t.Errorf("got %s %s, %v; want OpenMetrics with %s", resp.Header.Get("Content-Type"), body, err, want)
	}
}

func TestRuntimeFigures(t *testing.T) {
	_, ask := start(t, &admin.Options{})
	runtime.GC()
	_, body := ask("GET", "/debug/runtime", "")
	var got struct {
		Goroutines, Gomaxprocs int
		Heap                   int `json:"heap_bytes"`
		GC                     struct {
			Cycles int
			Last   time.Time
			Total  float64 `json:"pause_seconds_total"`
			Max    float64 `json:"pause_seconds_max"`
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Goroutines < 2 || got.Gomaxprocs != runtime.GOMAXPROCS(0) || got.Heap <= 0 || got.GC.Cycles < 1 ||
		time.Since(got.GC.Last) > time.Hour || got.GC.Max <= 0 || got.GC.Total < got.GC.Max {
		t.Errorf("got %s, want figures of a running program", body)
	}
}

func TestReadinessNamesTheChecks(t *testing.T) {
	checks := health.New(&health.Options{Logger: slog.New(slog.DiscardHandler)}, health.Check{
		Name: "broker", Startup: true, Check: func(context.Context) error { return errors.New("down") },
	})
	_, ask := start(t, &admin.Options{Health: checks})
	for path, want := range map[string]string{
		"/readyz":   `503 {"status":"unavailable","checks":{"broker":"failing"}}`,
		"/startupz": `503 {"status":"unavailable"}`,
		"/livez":    `200 {"status":"ok"}`,
	} {
		status, body := ask("GET", path, "")
		if got := fmt.Sprint(status, " ", strings.TrimSpace(body)); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestDrainTurnsReadiness(t *testing.T) {
	s, ask := start(t, &admin.Options{})
	s.Drain()
	if status, _ := ask("GET", "/readyz", ""); status != 503 {
		t.Errorf("/readyz: %d, want 503", status)
	}
	for _, path := range []string{"/livez", "/metrics"} {
		if status, _ := ask("GET", path, ""); status != 200 {
			t.Errorf("%s: %d, want 200 while draining", path, status)
		}
	}
}

func TestDefaultAddressIsLoopback(t *testing.T) {
	if got, want := admin.New(nil).String(), "admin http 127.0.0.1:9090"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestImportRegistersNothing(t *testing.T) {
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "/debug/pprof/", nil)
	if _, pattern := http.DefaultServeMux.Handler(r); pattern != "" {
		t.Errorf("http.DefaultServeMux has %q", pattern)
	}
}

func Example() {
	s := admin.New(&admin.Options{Addr: "127.0.0.1:0", Gatherer: prometheus.NewRegistry()})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	<-s.Ready()

	resp, err := http.Get("http://" + s.Addr() + "/readyz")
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	stop()
	fmt.Println(<-ended)
	// Output:
	// 200
	// <nil>
}
