package metrics_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
)

func newValues(t testing.TB, reg prometheus.Registerer, limit int) *metrics.Values {
	t.Helper()
	v, err := metrics.NewValues(reg, "tenant", limit)
	if err != nil {
		t.Fatalf("NewValues: %v", err)
	}
	return v
}

// overflowed returns what metrics_label_values_overflowed_total says, by label.
func overflowed(t testing.TB, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	got := map[string]float64{}
	for _, m := range family(t, g, "metrics_label_values_overflowed_total").GetMetric() {
		got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	return got
}

func TestValues(t *testing.T) {
	t.Run("LetsTheFirstThroughAndCountsTheRest", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		v := newValues(t, reg, 2)
		long := strings.Repeat("x", metrics.MaxValueLen)
		for _, c := range []struct{ value, want string }{
			{"", ""}, {metrics.Overflow, metrics.Overflow}, // take no room
			{long + "x", metrics.Overflow}, {long, long}, {"\xffa\xfe\xfe", "\uFFFDa\uFFFD"},
			{"c", metrics.Overflow}, {long, long}, {"\xfea\xff", "\uFFFDa\uFFFD"}, {"\xff", metrics.Overflow},
			{"", ""}, {"c", metrics.Overflow},
		} {
			if got := v.Label(c.value); got != c.want {
				t.Errorf("Label(%q): got %q, want %q", c.value, got, c.want)
			}
		}
		if got := overflowed(t, reg)["tenant"]; got != 4 {
			t.Errorf("overflowed: got %v, want 4", got)
		}
	})

	t.Run("ShareTheCounterOfTheirLabel", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		for range 2 {
			v := newValues(t, reg, 1)
			v.Label("a")
			v.Label("b")
		}
		if got := overflowed(t, reg); len(got) != 1 || got["tenant"] != 2 {
			t.Errorf("overflowed: got %v, want 2 of tenant", got)
		}
	})

	t.Run("ReturnsNoMemoryOfTheRequest", func(t *testing.T) {
		v := newValues(t, prometheus.NewRegistry(), 2)
		for i := range 2 { // when it is new, and when it is known
			request := "tenant=ada"
			value := strings.Clone(request)[len("tenant="):]
			if got := v.Label(value); got != "ada" || unsafe.StringData(got) == unsafe.StringData(value) {
				t.Errorf("call %d: got %q in the caller's memory, want a copy", i, got)
			}
		}
	})

	for _, c := range []struct {
		name, label string
		limit       int
		want        string
	}{
		{"LimitZero", "tenant", 0, `metrics: values of "tenant": limit 0 is not within 1 to 10000`},
		{"LimitBelowZero", "tenant", -1, `metrics: values of "tenant": limit -1 is not within 1 to 10000`},
		{"LimitTooHigh", "tenant", 10_001, `metrics: values of "tenant": limit 10001 is not within 1 to 10000`},
		{"NoLabel", "", 1, `metrics: values: label "" is no label name`},
		{"LabelThatIsNotUTF8", "\xff", 1, `metrics: values: label "\xff" is no label name`},
	} {
		t.Run("Refuses/"+c.name, func(t *testing.T) {
			v, err := metrics.NewValues(prometheus.NewRegistry(), c.label, c.limit)
			if v != nil || err == nil || err.Error() != c.want {
				t.Errorf("got %v, %v; want error %s", v, err, c.want)
			}
		})
	}

	t.Run("RefusesACounterOfAnotherMeaning", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "metrics_label_values_overflowed_total"}))
		if v, err := metrics.NewValues(reg, "tenant", 1); v != nil || err == nil {
			t.Errorf("got %v, %v; want an error alone", v, err)
		}
	})

	t.Run("KeepsTheBoundInParallel", func(t *testing.T) {
		for range 200 { // rounds of a race for one place
			v := newValues(t, prometheus.NewRegistry(), 1)
			var got sync.Map
			var wg sync.WaitGroup
			start := make(chan struct{})
			for i := range 8 {
				wg.Go(func() {
					<-start
					got.Store(v.Label(strconv.Itoa(i)), true)
				})
			}
			close(start)
			wg.Wait()
			n := 0
			got.Range(func(any, any) bool { n++; return true })
			if n != 2 { // the winner and Overflow
				t.Fatalf("distinct labels: got %d, want 2", n)
			}
		}
	})
}

func BenchmarkValues(b *testing.B) {
	v := newValues(b, prometheus.NewRegistry(), 100)
	for i := range 100 {
		v.Label(strconv.Itoa(i))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v.Label("42")
			v.Label("stranger")
		}
	})
}
