package metrics

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exemplarPause is how long an exemplar stands before the next one of its series and bucket replaces it. Scrapes are
// further apart than that, so that nobody would have seen those left out, and an exemplar costs ten allocations.
const exemplarPause = time.Second

// exemplars says whose turn it is to leave an exemplar. Each bucket of each series has turns of its own: the slow
// operations are rare, and theirs are the exemplars that are looked for.
type exemplars struct {
	start  time.Time // what turns count from, on the monotonic clock
	bounds []float64
	series sync.Map // from prometheus.Observer to []atomic.Int64: when the next turn of each bucket comes
}

func newExemplars(bounds []float64) *exemplars {
	return &exemplars{start: time.Now(), bounds: bounds}
}

// due reports whether an operation of o that took so many seconds is to leave its exemplar.
func (e *exemplars) due(o prometheus.Observer, seconds float64) bool {
	buckets, ok := e.series.Load(o)
	if !ok {
		buckets, _ = e.series.LoadOrStore(o, make([]atomic.Int64, len(e.bounds)+1))
	}
	turn := &buckets.([]atomic.Int64)[sort.SearchFloat64s(e.bounds, seconds)]
	now, due := time.Since(e.start), turn.Load()
	return int64(now) >= due && turn.CompareAndSwap(due, int64(now+exemplarPause))
}
