package metrics_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
)

func serverOptions() metrics.REDOptions {
	return metrics.REDOptions{
		Name: "test_duration_seconds", Help: "Time taken.", Labels: []string{"method", "status"},
		InFlight: "test_active", InFlightHelp: "Now running.", InFlightLabels: []string{"method"},
	}
}

func newRED(t testing.TB, reg prometheus.Registerer) *metrics.RED {
	t.Helper()
	red, err := metrics.NewRED(reg, serverOptions())
	if err != nil {
		t.Fatalf("NewRED: %v", err)
	}
	return red
}

// family returns the metric family of name, nil where it has no series.
func family(t testing.TB, g prometheus.Gatherer, name string) *dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatalf("Gather: %v", err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	if i < 0 {
		return nil
	}
	return families[i]
}

func sampledContext(t testing.TB) (context.Context, trace.TraceID) {
	t.Helper()
	var id trace.TraceID
	rand.Read(id[:])
	return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	})), id
}

func TestNewRED(t *testing.T) {
	t.Run("SharesInstrumentsThatAreRegistered", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		a, b := newRED(t, reg), newRED(t, reg)
		a.Observe(t.Context(), time.Second, "GET", "200")
		b.Observe(t.Context(), time.Second, "GET", "200")
		a.InFlight("GET").Inc()
		b.InFlight("GET").Inc()
		f := family(t, reg, "test_duration_seconds")
		if got := f.GetMetric()[0].GetHistogram().GetSampleCount(); len(f.GetMetric()) != 1 || got != 2 {
			t.Errorf("got %d series, count %d; want 1 series, count 2", len(f.GetMetric()), got)
		}
		if got := family(t, reg, "test_active").GetMetric()[0].GetGauge().GetValue(); got != 2 {
			t.Errorf("in flight: got %v, want 2", got)
		}
	})

	t.Run("UsesTheDefaultRegistererForNil", func(t *testing.T) {
		old := prometheus.DefaultRegisterer
		reg := prometheus.NewRegistry()
		prometheus.DefaultRegisterer = reg
		t.Cleanup(func() { prometheus.DefaultRegisterer = old })
		newRED(t, nil).Observe(t.Context(), time.Second, "GET", "200")
		if family(t, reg, "test_duration_seconds") == nil {
			t.Error("nothing was registered with prometheus.DefaultRegisterer")
		}
	})

	refused := map[string]func(*metrics.REDOptions){
		"OtherLabels":          func(o *metrics.REDOptions) { o.Labels = []string{"method"} },
		"OtherHelp":            func(o *metrics.REDOptions) { o.Help = "Another." },
		"OtherGaugeLabels":     func(o *metrics.REDOptions) { o.InFlightLabels = nil },
		"NoName":               func(o *metrics.REDOptions) { o.Name = "" },
		"NoHelp":               func(o *metrics.REDOptions) { o.Help = "" },
		"NoGaugeHelp":          func(o *metrics.REDOptions) { o.InFlightHelp = "" },
		"HistogramsOwnLabel":   func(o *metrics.REDOptions) { o.Name, o.Labels = "fresh", []string{"le"} },
		"LabelThatIsNotUTF8":   func(o *metrics.REDOptions) { o.Name, o.Labels = "fresh", []string{"\xff"} },
		"LabelTwice":           func(o *metrics.REDOptions) { o.Name, o.Labels = "fresh", []string{"a", "a"} },
		"BucketsOutOfOrder":    func(o *metrics.REDOptions) { o.Name, o.Buckets = "fresh", []float64{1, 0.5} },
		"BucketThatIsNoNumber": func(o *metrics.REDOptions) { o.Name, o.Buckets = "fresh", []float64{1, math.NaN()} },
		"OneBucketNoNumber":    func(o *metrics.REDOptions) { o.Name, o.Buckets = "fresh", []float64{math.NaN()} },
		"NativeFactorOfOne":    func(o *metrics.REDOptions) { o.Name, o.NativeFactor = "fresh", 1 },
		"NativeFactorNaN":      func(o *metrics.REDOptions) { o.Name, o.NativeFactor = "fresh", math.NaN() },
		"NativeFactorInfinite": func(o *metrics.REDOptions) { o.Name, o.NativeFactor = "fresh", math.Inf(1) },
		"NameOfAnotherKind":    func(o *metrics.REDOptions) { o.Name, o.Labels = "test_active", []string{"method"} },
	}
	for name, change := range refused {
		t.Run("Refuses/"+name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			newRED(t, reg)
			o := serverOptions()
			change(&o)
			red, err := metrics.NewRED(reg, o)
			if err == nil || red != nil {
				t.Fatalf("got %v, %v; want an error alone", red, err)
			}
			if !strings.HasPrefix(err.Error(), "metrics: ") {
				t.Errorf("got error %q, want one that names the package", err)
			}
		})
	}
}

func TestRegisterRefusesAnotherType(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := prometheus.Opts{Name: "n", Help: "h"}
	if _, err := metrics.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts(opts))); err != nil {
		t.Fatal(err)
	}
	if _, err := metrics.Register(reg, prometheus.NewCounter(prometheus.CounterOpts(opts))); err == nil {
		t.Error("got no error for a counter under the name of a gauge, want one")
	}
}

func TestRED(t *testing.T) {
	t.Run("MendsValuesThatAreNotUTF8", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		red := newRED(t, reg)
		values := []string{"\xff\xfe", "2\xc000"}
		red.Observe(t.Context(), time.Millisecond, values...)
		red.InFlight("\xff").Inc()
		if want := []string{"\xff\xfe", "2\xc000"}; !slices.Equal(values, want) {
			t.Errorf("the caller's values: got %q, want %q untouched", values, want)
		}
		m := family(t, reg, "test_duration_seconds").GetMetric()
		if len(m) != 1 || m[0].GetHistogram().GetSampleCount() != 1 {
			t.Fatalf("got %v, want one series counted once", m)
		}
		for i, want := range []string{"\uFFFD", "2\uFFFD00"} {
			if got := m[0].GetLabel()[i].GetValue(); got != want {
				t.Errorf("label %d: got %q, want %q", i, got, want)
			}
		}
	})

	t.Run("KeepsTheTraceOfASampledSpanAsExemplar", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		red := newRED(t, reg)
		ctx, id := sampledContext(t)
		red.Observe(ctx, 20*time.Millisecond, "GET", "200")
		red.Observe(t.Context(), 3*time.Second, "GET", "200")
		got := map[float64]string{}
		for _, b := range family(t, reg, "test_duration_seconds").GetMetric()[0].GetHistogram().GetBucket() {
			if e := b.GetExemplar(); e != nil {
				got[b.GetUpperBound()] = e.GetLabel()[0].GetName() + "=" + e.GetLabel()[0].GetValue()
			}
		}
		want := map[float64]string{0.025: "trace_id=" + id.String()}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("exemplars by bucket: got %v, want %v", got, want)
		}
	})

	t.Run("LeavesTheTraceThatNobodyKeepsOut", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		ctx, _ := sampledContext(t)
		unsampled := trace.SpanContextFromContext(ctx).WithTraceFlags(0)
		newRED(t, reg).Observe(trace.ContextWithSpanContext(ctx, unsampled), time.Millisecond, "GET", "200")
		if got := exemplarsOf(t, reg); len(got) != 0 {
			t.Errorf("got exemplars %v of a span that is not sampled, want none", got)
		}
	})

	t.Run("KeepsBucketsOfItsOwn", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := serverOptions()
		o.Buckets = []float64{1, 2}
		red, err := metrics.NewRED(reg, o)
		if err != nil {
			t.Fatalf("NewRED: %v", err)
		}
		o.Buckets[0] = 0.5
		red.Observe(t.Context(), 700*time.Millisecond, "GET", "200")
		first := family(t, reg, o.Name).GetMetric()[0].GetHistogram().GetBucket()[0]
		if first.GetUpperBound() != 1 || first.GetCumulativeCount() != 1 {
			t.Errorf("got %v, want the bucket of 1 s with a count of 1", first)
		}
	})

	t.Run("ResolvesALabelSetOnce", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		red := newRED(t, reg)
		s := red.With("GET", "200")
		if again := red.With("GET", "200"); again != s {
			t.Errorf("With: got %p and %p for one label set, want one series", s, again)
		}
		s.Observe(t.Context(), time.Second)
		red.Observe(t.Context(), time.Second, "GET", "200")
		red.With("\xff", "200").Observe(t.Context(), time.Second)
		got := map[string]uint64{}
		for _, m := range family(t, reg, "test_duration_seconds").GetMetric() {
			got[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
		}
		if want := map[string]uint64{"GET": 2, "\uFFFD": 1}; !maps.Equal(got, want) {
			t.Errorf("counts: got %v, want %v", got, want)
		}
	})

	t.Run("PanicsOnAWrongCountOfValues", func(t *testing.T) {
		red := newRED(t, prometheus.NewRegistry())
		for name, f := range map[string]func(){
			"With":     func() { red.With("GET") },
			"Observe":  func() { red.Observe(t.Context(), time.Second, "GET", "200", "more") },
			"InFlight": func() { red.InFlight() },
		} {
			if recovered(f) == nil {
				t.Errorf("%s: got no panic, want one", name)
			}
		}
	})

	t.Run("TakesLessThanNothingForNothing", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		newRED(t, reg).Observe(t.Context(), -time.Hour, "GET", "200")
		h := family(t, reg, "test_duration_seconds").GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 1 || h.GetSampleSum() != 0 {
			t.Errorf("got count %d, sum %v; want 1 and 0", h.GetSampleCount(), h.GetSampleSum())
		}
	})

	t.Run("AllocatesNothingOnAResolvedSeries", func(t *testing.T) {
		red := newRED(t, prometheus.NewRegistry())
		ctx, _ := sampledContext(t)
		s, g := red.With("GET", "200"), red.InFlight("GET")
		s.Observe(ctx, time.Millisecond) // leaves the exemplar of this second
		if got := testing.AllocsPerRun(100, func() {
			g.Inc()
			s.Observe(ctx, time.Millisecond)
			g.Dec()
		}); got != 0 {
			t.Errorf("got %v allocations, want 0", got)
		}
	})

	t.Run("CountsInParallel", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		red := newRED(t, reg)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					g := red.InFlight("GET")
					g.Inc()
					red.Observe(t.Context(), time.Millisecond, "GET", "200")
					g.Dec()
				}
			})
		}
		wg.Wait()
		if got := family(t, reg, "test_duration_seconds").GetMetric()[0].GetHistogram().GetSampleCount(); got != 800 {
			t.Errorf("count: got %d, want 800", got)
		}
		if got := family(t, reg, "test_active").GetMetric()[0].GetGauge().GetValue(); got != 0 {
			t.Errorf("in flight: got %v, want 0", got)
		}
	})
}

func recovered(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func BenchmarkObserve(b *testing.B) {
	sampled, _ := sampledContext(b)
	for name, ctx := range map[string]context.Context{"Plain": b.Context(), "Exemplar": sampled} {
		b.Run(name, func(b *testing.B) {
			red := newRED(b, prometheus.NewRegistry())
			b.ReportAllocs()
			for b.Loop() {
				red.Observe(ctx, 20*time.Millisecond, "GET", "200")
			}
		})
	}
}

// BenchmarkResolved is what a request costs whose series are known, beside the same on client_golang alone.
func BenchmarkResolved(b *testing.B) {
	sampled, _ := sampledContext(b)
	b.Run("Bare", func(b *testing.B) {
		reg := prometheus.NewRegistry()
		newRED(b, reg)
		o := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bare", Buckets: metrics.DurationBuckets(),
		}, serverOptions().Labels).WithLabelValues("GET", "200")
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "g"}, []string{"method"}).WithLabelValues("GET")
		b.ReportAllocs()
		for b.Loop() {
			g.Inc()
			o.Observe((20 * time.Millisecond).Seconds())
			g.Dec()
		}
	})
	for name, ctx := range map[string]context.Context{"RED": b.Context(), "REDSampled": sampled} {
		b.Run(name, func(b *testing.B) {
			red := newRED(b, prometheus.NewRegistry())
			s, g := red.With("GET", "200"), red.InFlight("GET")
			b.ReportAllocs()
			for b.Loop() {
				g.Inc()
				s.Observe(ctx, 20*time.Millisecond)
				g.Dec()
			}
		})
	}
}

func BenchmarkInFlight(b *testing.B) {
	red := newRED(b, prometheus.NewRegistry())
	b.ReportAllocs()
	for b.Loop() {
		g := red.InFlight("GET")
		g.Inc()
		g.Dec()
	}
}
