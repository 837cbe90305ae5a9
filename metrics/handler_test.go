package metrics_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/mainstay-go/mainstay/metrics"
)

const openMetrics = "application/openmetrics-text; version=1.0.0"

func scrape(t *testing.T, g prometheus.Gatherer, accept string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	metrics.Handler(g).ServeHTTP(w, r)
	return w
}

// broken is a collector whose metric cannot be made.
type broken struct{}

func (broken) Describe(ch chan<- *prometheus.Desc) { ch <- prometheus.NewDesc("broken", "h", nil, nil) }
func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "h", nil, nil), errors.New("no disk"))
}

func logged(t *testing.T) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&buf, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
	return &buf
}

func TestHandler(t *testing.T) {
	t.Run("ShowsExemplarsInOpenMetrics", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		ctx, id := sampledContext(t)
		newRED(t, reg).Observe(ctx, 20*time.Millisecond, "GET", "200")
		w := scrape(t, reg, openMetrics)
		if want := `# {trace_id="` + id.String() + `"} 0.02`; !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %d\n%s\nwant a bucket with %s", w.Code, w.Body, want)
		}
	})

	t.Run("ParsesAfterHostileValues", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		newRED(t, reg).Observe(t.Context(), time.Millisecond, "\xff\xfe", "a\"b\\c\nd")
		w := scrape(t, reg, "text/plain")
		p := expfmt.NewTextParser(model.UTF8Validation)
		families, err := p.TextToMetricFamilies(w.Body)
		if w.Code != http.StatusOK || err != nil {
			t.Fatalf("got %d, %v; want 200 that parses", w.Code, err)
		}
		m := families["test_duration_seconds"].GetMetric()
		if len(m) != 1 || m[0].GetHistogram().GetSampleCount() != 1 {
			t.Errorf("got %v, want one series counted once", m)
		}
	})

	t.Run("ServesTheRestWhenACollectorFails", func(t *testing.T) {
		logs := logged(t)
		reg := prometheus.NewRegistry()
		reg.MustRegister(broken{})
		newRED(t, reg).Observe(t.Context(), time.Millisecond, "GET", "200")
		w := scrape(t, reg, "text/plain")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "test_duration_seconds_count") {
			t.Errorf("got %d %q, want 200 with the other series", w.Code, w.Body)
		}
		if !strings.Contains(logs.String(), "no disk") || strings.Count(logs.String(), "\n") != 1 {
			t.Errorf("got log %q, want one line that names the cause", logs)
		}
	})

	t.Run("FailsWhenNothingCouldBeGathered", func(t *testing.T) {
		logged(t)
		reg := prometheus.NewRegistry()
		reg.MustRegister(broken{})
		if w := scrape(t, reg, "text/plain"); w.Code != http.StatusInternalServerError {
			t.Errorf("got %d, want 500", w.Code)
		}
	})

	t.Run("ServesTheDefaultGathererForNil", func(t *testing.T) {
		old := prometheus.DefaultGatherer
		reg := prometheus.NewRegistry()
		newRED(t, reg).Observe(t.Context(), time.Millisecond, "GET", "200")
		prometheus.DefaultGatherer = reg
		t.Cleanup(func() { prometheus.DefaultGatherer = old })
		if w := scrape(t, nil, "text/plain"); !strings.Contains(w.Body.String(), "test_duration_seconds_count") {
			t.Errorf("got %q, want the series of prometheus.DefaultGatherer", w.Body)
		}
	})

	t.Run("BoundsScrapesThatHang", func(t *testing.T) {
		hang := make(chan struct{})
		entered := make(chan struct{})
		var scrapes atomic.Int32
		h := metrics.Handler(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			if scrapes.Add(1) <= 10 {
				entered <- struct{}{}
				<-hang
			}
			return nil, nil
		}))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) })
			<-entered
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		close(hang)
		wg.Wait()
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("the eleventh: got %d, want 503", w.Code)
		}
	})
}
