package metrics

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// Other is the label value that stands for what an operation does not know: a method that nobody serves, an error
	// of no known kind. The semantic conventions have it (attributes http.request.method, rpc.method and error.type).
	Other = "_OTHER"
	// Overflow is the label value that stands for everything past the bound of a [Values]: known perhaps, but too many.
	Overflow = "__other__"
	// MaxValueLen is how long a value may be, in bytes, for a [Values] to let it through. It has room for any host name
	// (255, RFC 1035 section 2.3.4).
	MaxValueLen = 256
	// maxLimit bounds a bound: each new value copies those before it, and Prometheus keeps a series of each.
	maxLimit = 10_000
)

// Values bounds one label: it lets a fixed number of distinct values through and calls the rest [Overflow], so that
// what strangers send cannot make series without end. A value longer than [MaxValueLen] is one of the rest, and bytes
// that are not UTF-8 become U+FFFD. The empty value, which to Prometheus is no label at all, is always let through.
//
// First come, first kept: what is seen early stays for the life of the process. Use it for labels that are few in
// good weather (hosts, tenants, codes), not to pick the most frequent of many. Its methods are safe for concurrent
// use; a value seen before costs one map look-up and takes no lock.
type Values struct {
	limit      int
	overflowed prometheus.Counter
	mu         sync.Mutex                        // held to replace seen
	seen       atomic.Pointer[map[string]string] // the map is never written once it is here
}

// NewValues returns a bound of limit distinct values, 1 to 10,000, for a label of that name. Each time that a value is
// replaced by [Overflow], the counter metrics_label_values_overflowed_total of that label goes up: its rate is how many
// observations have lost their value. The counter is registered with reg, nil for prometheus.DefaultRegisterer; all
// bounds of labels of one name share it.
func NewValues(reg prometheus.Registerer, label string, limit int) (*Values, error) {
	switch {
	case label == "" || !utf8.ValidString(label):
		return nil, fmt.Errorf("metrics: values: label %q is no label name", label)
	case limit < 1 || limit > maxLimit:
		return nil, fmt.Errorf("metrics: values of %q: limit %d is not within 1 to %d", label, limit, maxLimit)
	}
	overflowed, err := Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "metrics_label_values_overflowed_total",
		Help: "Label values that were replaced by __other__, because their label had reached its bound.",
	}, []string{"label"}))
	if err != nil {
		return nil, err
	}
	v := &Values{limit: limit, overflowed: overflowed.WithLabelValues(label)}
	// Seeds beside the limit: no label, and what a stranger sends in order to look like the rest.
	v.seen.Store(&map[string]string{"": "", Overflow: Overflow})
	return v, nil
}

// seeds is how many values each map has from the beginning.
const seeds = 2

// Label returns value where it is among the first distinct values that Label was called with, else [Overflow]. What it
// returns shares no memory with value.
func (v *Values) Label(value string) string {
	if kept, ok := (*v.seen.Load())[value]; ok {
		return kept
	}
	return v.unseen(value)
}

func (v *Values) unseen(value string) string {
	if len(value) > MaxValueLen {
		v.overflowed.Inc()
		return Overflow
	}
	value = strings.ToValidUTF8(value, replacement)
	seen := *v.seen.Load()
	if kept, ok := seen[value]; ok {
		return kept
	}
	if len(seen) < v.limit+seeds {
		if kept, ok := v.add(value); ok {
			return kept
		}
	}
	v.overflowed.Inc()
	return Overflow
}

// add reports whether value is among those let through, which it becomes where there is room.
func (v *Values) add(value string) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := *v.seen.Load()
	if kept, ok := seen[value]; ok {
		return kept, true
	}
	if len(seen) >= v.limit+seeds {
		return "", false
	}
	next := make(map[string]string, len(seen)+1)
	maps.Copy(next, seen)
	// A copy: value may be a slice of a whole request, which the set would keep alive.
	value = strings.Clone(value)
	next[value] = value
	v.seen.Store(&next)
	return value, true
}
