package metrics

import (
	"sort"
	"sync/atomic"
	"time"
)

// exemplarPause is how long an exemplar stands before the next one of its series and bucket replaces it. Scrapes are
// further apart than that, so that nobody would have seen those left out, and an exemplar costs ten allocations.
const exemplarPause = time.Second

// turns says whose turn it is to leave an exemplar. Each bucket of each series has turns of its own: the slow
// operations are rare, and theirs are the exemplars that are looked for.
type turns struct {
	start  time.Time // what turns count from, on the monotonic clock
	bounds []float64
}

// take reports whether an operation that took so many seconds is to leave its exemplar. due has one place more than
// there are bounds.
func (t turns) take(due []atomic.Int64, seconds float64) bool {
	turn := &due[sort.SearchFloat64s(t.bounds, seconds)]
	now, next := time.Since(t.start), turn.Load()
	return int64(now) >= next && turn.CompareAndSwap(next, int64(now+exemplarPause))
}
