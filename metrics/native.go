package metrics

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// nativeBuckets bounds the buckets of one native histogram. OpenTelemetry's exponential histograms have the same
	// bound (SDK specification, MaxSize of the base-2 exponential bucket histogram aggregation).
	nativeBuckets = 160
	// nativeReset is how far apart the resets are that a histogram past its bound may make, in order to get its
	// resolution back. Each loses what was counted since the last scrape.
	nativeReset = time.Hour
)

// NativeHistograms returns a Registerer that registers with reg, nil for prometheus.DefaultRegisterer, and gives every
// histogram that this package registers with it native buckets beside the classic ones, each of them wider than the one
// before by factor at most; 1.1 is a good choice, and gives quantiles within 5%. Hand it to a server, a client or a
// broker as its Registerer, and theirs have them too. A factor of zero or less means none; another one that is not
// above 1 is refused by what registers a histogram.
//
// The classic buckets stay, because a native histogram exists in the protobuf format only, and an old scraper, or one
// that was not told to, does not ask for that. A server that takes native histograms stores them alone, as one series
// instead of seventeen (unless it is configured to keep both).
//
// A native histogram has 160 buckets at most. One that needs more is reset, not more than once an hour, and else halves
// its resolution. An observation takes some fifty nanoseconds more.
//
// It must be the outermost wrapper: what prometheus.WrapRegistererWith makes of it hides it.
func NativeHistograms(reg prometheus.Registerer, factor float64) prometheus.Registerer {
	if reg == nil {
		reg = prometheus.DefaultRegisterer
	}
	return nativeRegisterer{reg, factor}
}

type nativeRegisterer struct {
	prometheus.Registerer
	factor float64
}

// nativeFactor returns what reg says about native histograms where factor, an option, is zero. Zero means none.
func nativeFactor(reg prometheus.Registerer, factor float64) (float64, error) {
	if n, ok := reg.(nativeRegisterer); ok {
		factor = cmp.Or(factor, n.factor)
	}
	switch {
	case factor <= 0:
		return 0, nil
	case !(factor > 1) || math.IsInf(factor, 0):
		return 0, fmt.Errorf("native factor %v is not above 1", factor)
	}
	return factor, nil
}

// histogramOpts returns the options of a histogram of classic buckets, and of native ones where factor is not zero.
func histogramOpts(name, help string, buckets []float64, factor float64) prometheus.HistogramOpts {
	o := prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
	if factor != 0 {
		o.NativeHistogramBucketFactor = factor
		o.NativeHistogramMaxBucketNumber = nativeBuckets
		o.NativeHistogramMinResetDuration = nativeReset
	}
	return o
}
