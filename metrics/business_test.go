package metrics_test

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
)

func orderOptions() metrics.Options {
	return metrics.Options{Name: "orders_placed_total", Help: "Orders.", Labels: []string{"tenant", "status"}}
}

func newCounter(t testing.TB, reg prometheus.Registerer, o metrics.Options) *metrics.Counter {
	t.Helper()
	c, err := metrics.NewCounter(reg, o)
	if err != nil {
		t.Fatalf("NewCounter: %v", err)
	}
	return c
}

// counted returns the values of a counter or a gauge, by "label value/label value" in the order of the labels' names.
func counted(t testing.TB, g prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	got := map[string]float64{}
	for _, m := range family(t, g, name).GetMetric() {
		var values []string
		for _, l := range m.GetLabel() {
			values = append(values, l.GetValue())
		}
		got[strings.Join(values, "/")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return got
}

func hasLine(text, line string) bool { return strings.Contains("\n"+text, "\n"+line+"\n") }

func TestCounter(t *testing.T) {
	t.Run("CountsByPosition", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		c := newCounter(t, reg, orderOptions())
		c.Add(1, "ada", "ok")
		c.Add(2.5, "ada", "ok")
		c.Add(1, "ok", "ada")
		c.Add(0, "bo", "ok")
		want := map[string]float64{"ok/ada": 3.5, "ada/ok": 1, "ok/bo": 0}
		if got := counted(t, reg, "orders_placed_total"); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})

	t.Run("IsThereFromTheStartWithoutLabels", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := orderOptions()
		o.Labels = nil
		c := newCounter(t, reg, o)
		if got := counted(t, reg, o.Name); !maps.Equal(got, map[string]float64{"": 0}) {
			t.Errorf("got %v, want a series of 0", got)
		}
		c.Add(2)
		if got := counted(t, reg, o.Name); got[""] != 2 {
			t.Errorf("got %v, want 2", got)
		}
	})

	t.Run("LeavesOutWhatItCannotTake", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		c := newCounter(t, reg, orderOptions())
		for _, n := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1), 1} {
			c.Add(n, "ada", "ok")
		}
		if got := counted(t, reg, "orders_placed_total")["ok/ada"]; got != 1 {
			t.Errorf("got %v, want 1", got)
		}
	})

	t.Run("IsSharedWhenRegisteredTwice", func(t *testing.T) {
		for name, reg := range map[string]prometheus.Registerer{
			"Plain":   prometheus.NewRegistry(),
			"Wrapped": prometheus.WrapRegistererWith(prometheus.Labels{"zone": "a"}, prometheus.NewRegistry()),
		} {
			if a, b := newCounter(t, reg, orderOptions()), newCounter(t, reg, orderOptions()); a != b {
				t.Errorf("%s: got %p and %p, want one counter", name, a, b)
			}
		}
	})

	t.Run("PanicsOnAWrongCountOfValues", func(t *testing.T) {
		c := newCounter(t, prometheus.NewRegistry(), orderOptions())
		for _, values := range [][]string{nil, {"ada"}, {"ada", "ok", "more"}} {
			const want = "values for 2 labels"
			if got := fmt.Sprint(recovered(func() { c.Add(1, values...) })); !strings.Contains(got, want) {
				t.Errorf("%q: got %q, want a panic over %q", values, got, want)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	t.Run("OfEachLabel", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := orderOptions()
		o.Limit = 2
		c := newCounter(t, reg, o)
		for _, tenant := range []string{"a", "b", "c", "\xff", strings.Repeat("x", 1000), "a", "", metrics.Overflow} {
			c.Add(1, tenant, "ok")
		}
		want := map[string]float64{"ok/a": 2, "ok/b": 1, "ok/__other__": 4, "ok/": 1}
		if got := counted(t, reg, o.Name); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := overflowed(t, reg); got["tenant"] != 3 || got["status"] != 0 {
			t.Errorf("overflowed: got %v, want 3 of tenant", got)
		}
	})

	t.Run("OfAllTogether", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := orderOptions()
		o.MaxSeries = 2
		c := newCounter(t, reg, o)
		for _, tenant := range []string{"a", "b", "c", "c", "a"} {
			c.Add(1, tenant, "ok")
		}
		c.Add(1, metrics.Overflow, metrics.Overflow)
		want := map[string]float64{"ok/a": 2, "ok/b": 1, "__other__/__other__": 3}
		if got := counted(t, reg, o.Name); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := overflowed(t, reg); got["tenant"] != 2 || got["status"] != 2 {
			t.Errorf("overflowed: got %v, want 2 of each", got)
		}
	})

	t.Run("LeaveTheRestItsOwnPlace", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := orderOptions()
		o.MaxSeries = 1
		c := newCounter(t, reg, o)
		for _, tenant := range []string{metrics.Overflow, "ok"} {
			c.Add(1, tenant, tenant)
		}
		want := map[string]float64{"__other__/__other__": 1, "ok/ok": 1}
		if got := counted(t, reg, o.Name); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})

	t.Run("DefaultToAHundredValuesAndAThousandSeries", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		c := newCounter(t, reg, orderOptions())
		for i := range 2000 {
			c.Add(1, strconv.Itoa(i), "ok")
		}
		if got := len(counted(t, reg, "orders_placed_total")); got != 101 {
			t.Errorf("of one label: got %d series, want 101", got)
		}
		for i := range 2000 {
			c.Add(1, strconv.Itoa(i%100), strconv.Itoa(i/100))
		}
		if got := len(counted(t, reg, "orders_placed_total")); got != 1001 {
			t.Errorf("of two: got %d series, want 1001", got)
		}
	})

	t.Run("OfALabelAreOffBelowZero", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := orderOptions()
		o.Limit = -1
		c := newCounter(t, reg, o)
		for i := range 2000 {
			c.Add(1, strconv.Itoa(i), "ok")
		}
		if got := len(counted(t, reg, "orders_placed_total")); got != 1001 {
			t.Errorf("got %d series, want 1001", got)
		}
	})

	t.Run("HoldInParallel", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := orderOptions()
		o.MaxSeries = 50
		c := newCounter(t, reg, o)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 1000 {
					c.Add(1, strconv.Itoa((g+i)%500), strconv.Itoa(i%3))
				}
			})
		}
		wg.Wait()
		got, sum := counted(t, reg, o.Name), 0.0
		for _, n := range got {
			sum += n
		}
		if len(got) != 51 || sum != 8000 {
			t.Errorf("got %d series of %v in all, want 51 of 8000", len(got), sum)
		}
	})

	refused := map[string]struct {
		change func(*metrics.Options)
		want   string
	}{
		"NoName":           {func(o *metrics.Options) { o.Name = "" }, "it needs a name and a help"},
		"NoHelp":           {func(o *metrics.Options) { o.Help = "" }, "it needs a name and a help"},
		"NoTotal":          {func(o *metrics.Options) { o.Name = "orders" }, `"_total" ends the name of a counter`},
		"NameNotUTF8":      {func(o *metrics.Options) { o.Name = "\xff_total" }, "not a valid metric name"},
		"NoLabelsBadName":  {func(o *metrics.Options) { o.Name, o.Labels = "\xff_total", nil }, "not a valid metric name"},
		"LimitTooHigh":     {func(o *metrics.Options) { o.Limit = 10_001 }, "limit 10001 is above 10000"},
		"MaxSeriesTooHigh": {func(o *metrics.Options) { o.MaxSeries = 10_001 }, "max series 10001 is not within"},
		"MaxSeriesOff":     {func(o *metrics.Options) { o.MaxSeries = -1 }, "max series -1 is not within"},
		"Buckets":          {func(o *metrics.Options) { o.Buckets = []float64{1} }, "a histogram needs buckets"},
		"LabelLe":          {func(o *metrics.Options) { o.Labels = []string{"le"} }, `label "le"`},
		"EmptyLabel":       {func(o *metrics.Options) { o.Labels = []string{""} }, `label ""`},
		"LabelTwice":       {func(o *metrics.Options) { o.Labels = []string{"a", "a"} }, "duplicate label"},
		"OtherLabels":      {func(o *metrics.Options) { o.Labels = []string{"tenant"} }, "orders_placed_total"},
		"OtherHelp":        {func(o *metrics.Options) { o.Help = "More." }, "orders_placed_total"},
	}
	for name, r := range refused {
		t.Run("Refuse/"+name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			newCounter(t, reg, orderOptions())
			o := orderOptions()
			r.change(&o)
			c, err := metrics.NewCounter(reg, o)
			if c != nil || err == nil || !strings.HasPrefix(err.Error(), "metrics: ") || !strings.Contains(err.Error(), r.want) {
				t.Errorf("got %v, %v; want error metrics: … %s", c, err, r.want)
			}
		})
	}

	t.Run("RefuseAPlainCounterOfTheName", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := orderOptions()
		reg.MustRegister(prometheus.NewCounterVec(prometheus.CounterOpts{Name: o.Name, Help: o.Help}, o.Labels))
		if c, err := metrics.NewCounter(reg, o); c != nil || err == nil {
			t.Errorf("got %v, %v; want an error alone", c, err)
		}
	})
}

func TestGauge(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := metrics.Options{Name: "stock", Help: "Pieces there.", Labels: []string{"sku"}, Limit: 1}
	g, err := metrics.NewGauge(reg, o)
	if err != nil {
		t.Fatalf("NewGauge: %v", err)
	}
	g.Set(3, "a")
	g.Add(-1, "a")
	for _, n := range []float64{math.NaN(), math.Inf(1)} {
		g.Add(n, "a")
	}
	g.Add(5, "b")
	g.Add(6, "c")
	want := map[string]float64{"a": 2, metrics.Overflow: 11}
	if got := counted(t, reg, "stock"); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if again, err := metrics.NewGauge(reg, o); again != g || err != nil {
		t.Errorf("registered twice: got %p, %v; want %p", again, err, g)
	}
	if bad, err := metrics.NewGauge(reg, metrics.Options{Name: "stock_total", Help: "h"}); bad != nil || err == nil {
		t.Errorf("named as a counter: got %v, %v; want an error alone", bad, err)
	}
}

func TestHistogram(t *testing.T) {
	o := metrics.Options{
		Name: "basket_euros", Help: "Worth.", Labels: []string{"shop"}, Limit: 1, Buckets: []float64{10, 100},
	}
	t.Run("CountsByBucket", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := o
		o.Buckets = slices.Clone(o.Buckets)
		h, err := metrics.NewHistogram(reg, o)
		if err != nil {
			t.Fatalf("NewHistogram: %v", err)
		}
		o.Buckets[0] = 1 // the caller's slice
		for _, v := range []float64{5, 50, math.NaN(), math.Inf(1)} {
			h.Observe(v, "a")
		}
		h.Observe(500, "b")
		got := map[string]string{}
		for _, m := range family(t, reg, o.Name).GetMetric() {
			h := m.GetHistogram()
			first := h.GetBucket()[0].GetCumulativeCount()
			got[m.GetLabel()[0].GetValue()] = fmt.Sprint(h.GetSampleCount(), h.GetSampleSum(), first)
		}
		if want := map[string]string{"a": "2 55 1", metrics.Overflow: "1 500 0"}; !maps.Equal(got, want) {
			t.Errorf("count, sum and first bucket: got %v, want %v", got, want)
		}
		if again, err := metrics.NewHistogram(reg, o); again != h || err != nil {
			t.Errorf("registered twice: got %p, %v; want %p", again, err, h)
		}
	})

	t.Run("IsNativeWhereTheRegistererSaysSo", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		o := o
		o.Name = "test_duration_seconds"
		h, err := metrics.NewHistogram(metrics.NativeHistograms(reg, 1.1), o)
		if err != nil {
			t.Fatalf("NewHistogram: %v", err)
		}
		h.Observe(5, "a")
		if got := scrapedHistogram(t, reg); len(got.GetPositiveSpan()) == 0 || len(got.GetBucket()) != 2 {
			t.Errorf("got %v, want native and classic buckets", got)
		}
	})

	for name, change := range map[string]func(*metrics.Options, *prometheus.Registerer){
		"NoBuckets":         func(o *metrics.Options, _ *prometheus.Registerer) { o.Buckets = nil },
		"BucketsOutOfOrder": func(o *metrics.Options, _ *prometheus.Registerer) { o.Buckets = []float64{2, 1} },
		"NativeFactor": func(_ *metrics.Options, reg *prometheus.Registerer) {
			*reg = metrics.NativeHistograms(*reg, 0.5)
		},
	} {
		t.Run("Refuses/"+name, func(t *testing.T) {
			o, reg := o, prometheus.Registerer(prometheus.NewRegistry())
			change(&o, &reg)
			if h, err := metrics.NewHistogram(reg, o); h != nil || err == nil {
				t.Errorf("got %v, %v; want an error alone", h, err)
			}
		})
	}
}

func TestBusinessMetricsAllocateNothing(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := orderOptions()
	o.Limit = 1
	c := newCounter(t, reg, o)
	h, err := metrics.NewHistogram(reg, metrics.Options{
		Name: "basket_euros", Help: "Worth.", Labels: []string{"tenant"}, Limit: 1, Buckets: []float64{10},
	})
	if err != nil {
		t.Fatalf("NewHistogram: %v", err)
	}
	for _, call := range []struct {
		name string
		f    func()
	}{
		{"Seen", func() { c.Add(1, "ada", "ok") }},
		{"Overflow", func() { c.Add(1, "mallory", "ok") }},
		{"Histogram", func() { h.Observe(1, "ada") }},
	} {
		call.f()
		if got := testing.AllocsPerRun(100, call.f); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", call.name, got)
		}
	}
}

// heap returns the bytes that are reachable.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers and pools let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryIsFlatUnderDistinctValues(t *testing.T) {
	const (
		attack = 100_000
		slack  = 256 << 10 // bytes; a hundred thousand values kept would be some megabytes
	)
	reg := prometheus.NewRegistry()
	v := newValues(t, reg, 100)
	c := newCounter(t, reg, orderOptions())
	g, err := metrics.NewGauge(reg, metrics.Options{Name: "stock", Help: "Pieces.", Labels: []string{"sku"}, Limit: -1})
	if err != nil {
		t.Fatalf("NewGauge: %v", err)
	}
	h, err := metrics.NewHistogram(reg, metrics.Options{
		Name: "basket_euros", Help: "Worth.", Labels: []string{"tenant"}, Buckets: []float64{10, 100},
	})
	if err != nil {
		t.Fatalf("NewHistogram: %v", err)
	}
	send := func(from, n int) {
		for i := from; i < from+n; i++ {
			value := "stranger-" + strconv.Itoa(i)
			v.Label(value)
			c.Add(1, value, value)
			g.Add(1, value)
			h.Observe(1, value)
		}
	}
	send(0, 2000) // fills what there is room for
	before := heap()
	send(2000, attack)
	if grown := heap() - before; grown > slack {
		t.Errorf("heap grew by %d bytes over %d values, want %d at most", grown, attack, slack)
	}
	for name, want := range map[string]int{"orders_placed_total": 1001, "stock": 1001, "basket_euros": 101} {
		if got := len(family(t, reg, name).GetMetric()); got > want {
			t.Errorf("%s: got %d series, want %d at most", name, got, want)
		}
	}
	runtime.KeepAlive(v)
}

func FuzzLabelValues(f *testing.F) {
	for _, s := range []string{"", "a", "\xff\xfe", "a\"b\\c\nd", "\x00", metrics.Overflow, strings.Repeat("é", 200)} {
		f.Add(s, s+"x")
	}
	reg := prometheus.NewRegistry()
	o := orderOptions()
	o.MaxSeries = 50
	c := newCounter(f, reg, o)
	v := newValues(f, reg, 50)
	sum := 0.0
	f.Fuzz(func(t *testing.T, a, b string) {
		c.Add(1, a, b)
		sum++
		if got := v.Label(a); !utf8.ValidString(got) || len(got) > metrics.MaxValueLen*len("\uFFFD") {
			t.Errorf("Label(%q): got %q, want short UTF-8", a, got)
		}
		got, n := counted(t, reg, o.Name), 0.0
		for _, v := range got {
			n += v
		}
		if len(got) > 51 || n != sum {
			t.Errorf("got %d series that count %v, want 51 at most that count %v", len(got), n, sum)
		}
	})
}

func BenchmarkCounter(b *testing.B) {
	reg := prometheus.NewRegistry()
	o := orderOptions()
	bare := prometheus.NewCounterVec(prometheus.CounterOpts{Name: o.Name}, o.Labels)
	c := newCounter(b, reg, o)
	for i := range 100 {
		c.Add(1, strconv.Itoa(i), "ok")
		bare.WithLabelValues(strconv.Itoa(i), "ok")
	}
	b.Run("BareVec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bare.WithLabelValues("42", "ok").Add(1)
		}
	})
	b.Run("Seen", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Add(1, "42", "ok")
		}
	})
	b.Run("Overflow", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Add(1, "stranger", "ok")
		}
	})
}
