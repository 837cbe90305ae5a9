package metrics_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exemplarsOf returns the trace of each bucket's exemplar, by "status/bound".
func exemplarsOf(t *testing.T, g prometheus.Gatherer) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, m := range family(t, g, "test_duration_seconds").GetMetric() {
		for _, b := range m.GetHistogram().GetBucket() {
			if e := b.GetExemplar(); e != nil {
				got[fmt.Sprintf("%s/%v", m.GetLabel()[1].GetValue(), b.GetUpperBound())] = e.GetLabel()[0].GetValue()
			}
		}
	}
	return got
}

func TestExemplars(t *testing.T) {
	t.Run("StandForASecondInEachBucketOfEachSeries", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			red := newRED(t, reg)
			observe := func(d time.Duration, status string) string {
				ctx, id := sampledContext(t)
				red.Observe(ctx, d, "GET", status)
				return id.String()
			}
			want := map[string]string{
				"200/0.005": observe(5*time.Millisecond, "200"), // its bound belongs to a bucket
				"200/0.025": observe(20*time.Millisecond, "200"),
				"500/0.025": observe(20*time.Millisecond, "500"),
				"200/+Inf":  observe(time.Minute, "200"),
			}
			observe(time.Millisecond, "200")
			time.Sleep(time.Second - 1)
			observe(20*time.Millisecond, "200")
			if got := exemplarsOf(t, reg); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("within a second: got %v, want the first ones %v", got, want)
			}
			time.Sleep(time.Nanosecond)
			want["200/0.025"] = observe(20*time.Millisecond, "200")
			if got := exemplarsOf(t, reg); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("after a second: got %v, want %v", got, want)
			}
		})
	})
}
