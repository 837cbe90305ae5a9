package metrics

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// Other is the label value that stands for everything past a bound. It is the value that the semantic conventions
// have for what is not listed (attributes http.request.method and error.type).
const Other = "_OTHER"

// Values bounds one label: it lets a fixed number of distinct values through and calls the rest [Other], so that what
// strangers send cannot make series without end.
//
// First come, first kept: what is seen early stays for the life of the process. Use it for labels that are few in
// good weather (hosts, tenants, codes), not to pick the most frequent of many. Its methods are safe for concurrent
// use; a value seen before costs one map look-up and takes no lock.
type Values struct {
	limit int
	mu    sync.Mutex                          // held to replace seen
	seen  atomic.Pointer[map[string]struct{}] // the map is never written once it is here
}

// NewValues returns a bound of limit distinct values, some thousands at most. A limit of zero or less lets none through.
func NewValues(limit int) *Values {
	v := &Values{limit: limit}
	v.seen.Store(&map[string]struct{}{})
	return v
}

// Label returns value where it is among the first distinct values that Label was called with, else [Other].
func (v *Values) Label(value string) string {
	seen := *v.seen.Load()
	if _, ok := seen[value]; ok {
		return value
	}
	if len(seen) >= v.limit {
		return Other
	}
	return v.add(value)
}

func (v *Values) add(value string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := *v.seen.Load()
	if _, ok := seen[value]; ok {
		return value
	}
	if len(seen) >= v.limit {
		return Other
	}
	next := make(map[string]struct{}, len(seen)+1)
	maps.Copy(next, seen)
	// A copy: value may be a slice of a whole request, which the set would keep alive.
	next[strings.Clone(value)] = struct{}{}
	v.seen.Store(&next)
	return value
}
