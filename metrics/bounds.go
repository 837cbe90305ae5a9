package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultLimit     = 100
	defaultMaxSeries = 1000
)

// Options of a [Counter], a [Gauge] or a [Histogram].
type Options struct {
	// Name of the metric, such as "shop_orders_placed_total": base units, and "_total" at the end of a counter's name
	// and of no other's. Required.
	Name string
	// Help says what is measured. Required.
	Help string
	// Labels, in the order in which the methods take their values. Nil means none.
	Labels []string
	// Limit bounds the distinct values of each label; see [Values]. Zero means 100, and more than 10,000 is refused.
	// Negative means that there is no bound but MaxSeries.
	Limit int
	// MaxSeries bounds the label sets. Past it, a new set is counted as the one whose values are all [Overflow], which
	// comes on top. Zero means 1,000, and more than 10,000 is refused; so is negative, since this is never off.
	MaxSeries int
	// Buckets of a histogram are upper bounds, each above the one before. Required there, refused elsewhere.
	Buckets []float64
}

// withDefaults returns the options with zeros replaced. kind is that of the metric.
func (o Options) withDefaults(kind string) (Options, error) {
	total := strings.HasSuffix(o.Name, "_total")
	var err error
	switch {
	case o.Name == "" || o.Help == "":
		err = errors.New("it needs a name and a help")
	case total != (kind == "counter"):
		err = errors.New(`"_total" ends the name of a counter, and of nothing else`)
	case o.Limit > maxLimit:
		err = fmt.Errorf("limit %d is above %d", o.Limit, maxLimit)
	case o.MaxSeries < 0 || o.MaxSeries > maxLimit:
		err = fmt.Errorf("max series %d is not within 0 to %d", o.MaxSeries, maxLimit)
	case (len(o.Buckets) > 0) != (kind == "histogram"):
		err = errors.New("a histogram needs buckets, and nothing else has any")
	case slices.Contains(o.Labels, "le"):
		err = errors.New(`label "le" belongs to Prometheus`)
	default:
		err = ascending(o.Buckets)
	}
	if err != nil {
		return o, fmt.Errorf("metrics: %s %q: %w", kind, o.Name, err)
	}
	o.Buckets = slices.Clone(o.Buckets) // they are looked at for ever
	o.MaxSeries = cmp.Or(o.MaxSeries, defaultMaxSeries)
	if o.Limit < 0 {
		o.Limit = o.MaxSeries
	}
	o.Limit = cmp.Or(o.Limit, defaultLimit)
	return o, nil
}

// bounds finds the metrics of a vector, an M for each label set, and sees to it that there are few. It is a tree with a
// level for each label, so that a look-up joins no strings, and a new series copies the values of one label only.
type bounds[M any] struct {
	name      string
	labels    []*Values
	maxSeries int
	resolve   func(values ...string) M // makes the metric where there is none
	rest      []string                 // as many Overflow as there are labels

	root   node[M]
	mu     sync.Mutex // held to add nodes
	series int        // in the tree, without the rest
}

// node is complete, and its metric is never written, once it is in the tree.
type node[M any] struct {
	next   atomic.Pointer[map[string]*node[M]] // by the value of the next label; the map is never written once here
	metric M                                   // on the last level
}

func newBounds[M any](reg prometheus.Registerer, o Options, resolve func(...string) M) (*bounds[M], error) {
	b := &bounds[M]{
		name: o.Name, maxSeries: o.MaxSeries, resolve: resolve,
		rest: slices.Repeat([]string{Overflow}, len(o.Labels)),
	}
	for _, label := range o.Labels {
		v, err := NewValues(reg, label, o.Limit)
		if err != nil {
			return nil, err
		}
		b.labels = append(b.labels, v)
	}
	if len(b.labels) == 0 {
		b.root.metric = resolve()
	}
	return b, nil
}

// get returns the metric of values. It panics where there are not as many as labels.
func (b *bounds[M]) get(values []string) M {
	if len(values) != len(b.labels) {
		panic(fmt.Sprintf("metrics: %q: got %d values for %d labels", b.name, len(values), len(b.labels)))
	}
	// What is in the tree has passed the bounds already.
	if n := b.root.find(values); n != nil {
		return n.metric
	}
	var room [8]string
	kept := room[:0]
	for i, v := range values {
		kept = append(kept, b.labels[i].Label(v))
	}
	if n := b.root.find(kept); n != nil {
		return n.metric
	}
	return b.add(kept)
}

// add returns the metric of values, which is new, or that of the rest where there is no room for it.
func (b *bounds[M]) add(values []string) M {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case slices.Equal(values, b.rest):
		values = b.rest
	case b.root.find(values) != nil: // another one has added it meanwhile
	case b.series >= b.maxSeries:
		values = b.rest
		for _, label := range b.labels {
			label.overflowed.Inc()
		}
	default:
		b.series++
	}
	if n := b.root.find(values); n != nil {
		return n.metric
	}
	copied := slices.Clone(values) // so that only a new series makes the caller's array escape
	metric := b.resolve(copied...)
	b.root.insert(copied, metric)
	return metric
}

// find returns the node of values, counted from n, nil where there is none.
func (n *node[M]) find(values []string) *node[M] {
	for _, v := range values {
		next := n.next.Load()
		if next == nil {
			return nil
		}
		if n = (*next)[v]; n == nil {
			return nil
		}
	}
	return n
}

// insert adds the node of values, where there is none. A part of a tree hangs in it only when it is complete.
func (n *node[M]) insert(values []string, metric M) {
	if len(values) == 0 {
		n.metric = metric
		return
	}
	child := n.find(values[:1])
	if child != nil {
		child.insert(values[1:], metric)
		return
	}
	child = new(node[M])
	child.insert(values[1:], metric)
	next := map[string]*node[M]{}
	if old := n.next.Load(); old != nil {
		maps.Copy(next, *old)
	}
	next[values[0]] = child
	n.next.Store(&next)
}
