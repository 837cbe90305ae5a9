package resilience

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantileFollowsItsStream(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	// Log-normal, as latencies are, with a median of scale.
	sample := func(scale time.Duration) time.Duration {
		return time.Duration(float64(scale) * math.Exp(random.NormFloat64()/2))
	}
	for _, q := range []float64{0.5, 0.9, 0.95, 0.99} {
		e := newQuantile(q)
		for _, scale := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 2 * time.Millisecond} {
			for range 20_000 {
				e.observe(sample(scale))
			}
			// One estimate wanders by its steps: the mean of many is what it rests at.
			var estimates []float64
			for range 5_000 {
				e.observe(sample(scale))
				estimates = append(estimates, float64(e.estimate()))
			}
			slices.Sort(estimates)
			many := make([]time.Duration, 20_000)
			for i := range many {
				many[i] = sample(scale)
			}
			slices.Sort(many)
			want := float64(many[int(q*float64(len(many)))])
			if got := estimates[len(estimates)/2]; got < 0.8*want || got > 1.25*want {
				t.Errorf("quantile %v of a median of %v: got about %v, want %v",
					q, scale, time.Duration(got), time.Duration(want))
			}
		}
	}
}

func TestQuantileFindsASlowStreamSoon(t *testing.T) {
	e := newQuantile(0.95)
	for range 1000 {
		e.observe(10 * time.Millisecond)
	}
	n := 0
	for ; e.estimate() < 90*time.Millisecond; n++ {
		e.observe(100 * time.Millisecond)
	}
	if n > 60 {
		t.Errorf("after a tenfold slowdown: %d samples until it is found, want 60 at most", n)
	}
}

func TestQuantileKnowsNothingAtFirst(t *testing.T) {
	e := newQuantile(0.95)
	for i := range 18 {
		e.observe(time.Second)
		if got := e.estimate(); got != 0 {
			t.Fatalf("after %d samples: got %v, want 0", i+1, got)
		}
	}
	e.observe(2 * time.Second)
	if got := e.estimate(); got != 2*time.Second {
		t.Errorf("after 19: got %v, want their maximum, 2s", got)
	}
}

func TestQuantileTakesNoTime(t *testing.T) {
	e := newQuantile(0.5)
	for range 10_000 {
		e.observe(0)
		e.observe(-time.Second)
	}
	if got := e.estimate(); got < 0 || got > 1 {
		t.Errorf("got %v, want 0 or 1ns", got)
	}
}
