package resilience

import (
	"math"
	"sync"
	"time"
)

// quantile estimates a quantile of a stream of durations in constant space, and follows the stream when it changes. It
// is safe for concurrent use.
//
// A sample above the estimate moves its logarithm up by step·q, any other down by step·(1-q), so that it comes to rest
// where a share of q lies below: stochastic approximation (Robbins and Monro, 1951; for quantiles Tierney, "A
// Space-Efficient Recursive Procedure for Estimating a Quantile of an Unknown Distribution", 1983). Only on which side
// of the estimate a sample lies counts. So a call that was cut off may be counted by the time that it had taken.
type quantile struct {
	q     float64
	warm  int // samples whose maximum is the first estimate
	mu    sync.Mutex
	seen  int
	value float64 // ns
}

// step is how far one sample moves the estimate: after a tenfold change upwards about fifty slow calls find the new one,
// after one downwards about a thousand (for q of 0.95). Until then too little is hedged, which is the harmless side.
const step = 0.05

func newQuantile(q float64) *quantile {
	// The maximum of n samples is, in expectation of its rank, the quantile n/(n+1).
	return &quantile{q: q, warm: int(math.Ceil(q / (1 - q)))}
}

func (e *quantile) observe(d time.Duration) {
	x := math.Max(float64(d), 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen < e.warm {
		e.seen++
		e.value = math.Max(e.value, x)
		return
	}
	if x > e.value {
		e.value *= math.Exp(step * e.q)
	} else {
		e.value *= math.Exp(-step * (1 - e.q))
	}
}

// estimate returns zero until enough was observed.
func (e *quantile) estimate() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen < e.warm {
		return 0
	}
	return time.Duration(e.value)
}
