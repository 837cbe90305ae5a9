package metrics_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/mainstay-go/mainstay/metrics"
)

// What Prometheus sends that is told to scrape native histograms.
const protobufFirst = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;" +
	"escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.2"

// scrapedHistogram returns the one series of test_duration_seconds, as a scraper of native histograms gets it.
func scrapedHistogram(t *testing.T, g prometheus.Gatherer) *dto.Histogram {
	t.Helper()
	w := scrape(t, g, protobufFirst)
	dec := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header()))
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("got %d %q without test_duration_seconds: %v", w.Code, w.Header().Get("Content-Type"), err)
		}
		if f.GetName() == "test_duration_seconds" {
			return f.GetMetric()[0].GetHistogram()
		}
	}
}

func TestNativeHistograms(t *testing.T) {
	for name, c := range map[string]struct {
		wrapped, option float64
		want            bool
	}{
		"OfTheRegisterer":          {1.1, 0, true},
		"OfTheOption":              {0, 1.1, true},
		"OffByTheOption":           {1.1, -1, false},
		"OffByTheRegisterer":       {-1, 0, false},
		"OptionBeforeTheRegistrar": {0.5, 1.1, true},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			o := serverOptions()
			o.NativeFactor = c.option
			red, err := metrics.NewRED(metrics.NativeHistograms(reg, c.wrapped), o)
			if err != nil {
				t.Fatalf("NewRED: %v", err)
			}
			red.Observe(t.Context(), 20*time.Millisecond, "GET", "200")
			h := scrapedHistogram(t, reg)
			if got := len(h.GetPositiveSpan()) > 0; got != c.want {
				t.Errorf("native buckets: got %v, want %v: %v", got, c.want, h)
			}
			if got, want := len(h.GetBucket()), len(metrics.DurationBuckets()); got != want {
				t.Errorf("classic buckets: got %d, want %d", got, want)
			}
		})
	}

	t.Run("AreNoneUnlessChosen", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		newRED(t, reg).Observe(t.Context(), 20*time.Millisecond, "GET", "200")
		if h := scrapedHistogram(t, reg); h.Schema != nil || len(h.GetBucket()) == 0 {
			t.Errorf("got %v, want classic buckets alone", h)
		}
	})

	t.Run("LeaveTheTextFormatItsBuckets", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		newRED(t, metrics.NativeHistograms(reg, 1.1)).Observe(t.Context(), 20*time.Millisecond, "GET", "200")
		w := scrape(t, reg, "text/plain")
		if want := `test_duration_seconds_bucket{method="GET",status="200",le="0.025"} 1`; w.Code != http.StatusOK ||
			!hasLine(w.Body.String(), want) {
			t.Errorf("got %d\n%s\nwant %s", w.Code, w.Body, want)
		}
	})

	t.Run("KeepExemplars", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		ctx, id := sampledContext(t)
		newRED(t, metrics.NativeHistograms(reg, 1.1)).Observe(ctx, 20*time.Millisecond, "GET", "200")
		e := scrapedHistogram(t, reg).GetExemplars()
		if len(e) != 1 || e[0].GetLabel()[0].GetValue() != id.String() {
			t.Errorf("got %v, want one of trace %v", e, id)
		}
	})

	t.Run("AreBounded", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		red := newRED(t, metrics.NativeHistograms(reg, 1.01))
		for d := time.Nanosecond; d > 0 && d < math.MaxInt64/2; d += d/50 + 1 {
			red.Observe(t.Context(), d, "GET", "200")
		}
		var n uint32
		for _, span := range scrapedHistogram(t, reg).GetPositiveSpan() {
			n += span.GetLength()
		}
		if n == 0 || n > 160 {
			t.Errorf("native buckets: got %d, want some, 160 at most", n)
		}
	})

	t.Run("UseTheDefaultRegistererForNil", func(t *testing.T) {
		old := prometheus.DefaultRegisterer
		reg := prometheus.NewRegistry()
		prometheus.DefaultRegisterer = reg
		t.Cleanup(func() { prometheus.DefaultRegisterer = old })
		newRED(t, metrics.NativeHistograms(nil, 1.1)).Observe(t.Context(), time.Second, "GET", "200")
		if h := scrapedHistogram(t, reg); h.Schema == nil {
			t.Errorf("got %v, want native buckets", h)
		}
	})

	t.Run("RefuseAFactorThatIsNotAboveOne", func(t *testing.T) {
		const want = `metrics: histogram "test_duration_seconds": native factor 0.5 is not above 1`
		red, err := metrics.NewRED(metrics.NativeHistograms(prometheus.NewRegistry(), 0.5), serverOptions())
		if red != nil || err == nil || err.Error() != want {
			t.Errorf("got %v, %v; want error %s", red, err, want)
		}
	})
}
