package metrics_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mainstay-go/mainstay/metrics"
)

// everything is a registry with a series of each metric that the package can make.
func everything(t *testing.T) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewRegistry()
	if err := metrics.RegisterRuntime(reg); err != nil {
		t.Fatalf("RegisterRuntime: %v", err)
	}
	red := newRED(t, metrics.NativeHistograms(reg, 1.1))
	ctx, _ := sampledContext(t)
	red.InFlight("GET").Inc()
	red.Observe(ctx, time.Millisecond, "GET", "200")
	newCounter(t, reg, orderOptions()).Add(1, "ada", "\xff")
	g, err := metrics.NewGauge(reg, metrics.Options{Name: "stock_pieces", Help: "Pieces there.", Labels: []string{"sku"}})
	if err != nil {
		t.Fatalf("NewGauge: %v", err)
	}
	g.Set(1, "a\"b\\c\nd")
	h, err := metrics.NewHistogram(reg, metrics.Options{Name: "basket_euros", Help: "Worth.", Buckets: []float64{10}})
	if err != nil {
		t.Fatalf("NewHistogram: %v", err)
	}
	h.Observe(1)
	return reg
}

func TestNamesPassTheLinter(t *testing.T) {
	families, err := everything(t).Gather()
	if err != nil {
		t.Fatalf("Gather: %v", err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatalf("Lint: %v", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestPromtoolAcceptsAScrape(t *testing.T) {
	const variable = "MAINSTAY_TEST_PROMTOOL"
	tool := os.Getenv(variable)
	if tool == "" {
		if os.Getenv("CI") == "true" && os.Getenv("MAINSTAY_TEST_REAL") == "1" {
			t.Fatal(variable + " is not set")
		}
		t.Skip("needs " + variable + ", the path of Prometheus's promtool")
	}
	cmd := exec.CommandContext(t.Context(), tool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(scrape(t, everything(t), "text/plain").Body.Bytes())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("got %v\n%s\nwant no word", err, out)
	}
}
