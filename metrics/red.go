package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// DurationBuckets returns the bucket bounds, in seconds, that the semantic conventions advise for request durations
// (metric http.server.request.duration), in a slice of the caller's own.
func DurationBuckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// REDOptions names what a [RED] measures.
type REDOptions struct {
	// Name of the duration histogram, such as "http_server_request_duration_seconds". Required.
	Name string
	// Help of the histogram. Required.
	Help string
	// Labels of the histogram, in the order in which Observe takes their values. Nil means none; "le" is refused, it
	// is the histogram's own.
	Labels []string
	// Buckets are upper bounds in seconds, each above the one before. Nil means [DurationBuckets].
	Buckets []float64
	// NativeFactor, above 1, adds native buckets to the classic ones; see [NativeHistograms]. Zero means what the
	// Registerer says, and without that none. Negative means none.
	NativeFactor float64
	// InFlight names the gauge of what has begun and not ended, such as "http_server_active_requests". "" means none.
	InFlight string
	// InFlightHelp is the help of the gauge. Required where InFlight is set.
	InFlightHelp string
	// InFlightLabels of the gauge, in the order in which InFlight takes their values. Nil means none.
	InFlightLabels []string
}

// validate refuses what client_golang would accept now and panic over at the first observation.
func (o *REDOptions) validate() error {
	switch {
	case o.Name == "" || o.Help == "":
		return errors.New("metrics: a RED needs a name and a help")
	case o.InFlight != "" && o.InFlightHelp == "":
		return fmt.Errorf("metrics: gauge %q needs a help", o.InFlight)
	case slices.Contains(o.Labels, "le"):
		return fmt.Errorf(`metrics: histogram %q: label "le" is the histogram's own`, o.Name)
	}
	if err := ascending(o.Buckets); err != nil {
		return fmt.Errorf("metrics: histogram %q: %w", o.Name, err)
	}
	return nil
}

func ascending(buckets []float64) error {
	for i, b := range buckets {
		if math.IsNaN(b) {
			return errors.New("bucket NaN is no number")
		}
		if i > 0 && b <= buckets[i-1] {
			return fmt.Errorf("bucket %v is not above %v", b, buckets[i-1])
		}
	}
	return nil
}

// RED is a set of instruments. Its methods are safe for concurrent use.
//
// They take label values by position and panic when there are more or fewer than the options named: a mistake of the
// program that its first request shows. The values' content never panics: bytes that are not UTF-8 become U+FFFD.
type RED struct {
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	turns    turns
	series   sync.Map // from prometheus.Observer to *Series
}

// NewRED registers the instruments with reg, nil for prometheus.DefaultRegisterer. Instruments that reg has already
// under the same names, labels and help are shared, so that two servers of one process need no names of their own; the
// buckets, native ones too, are then those of the first. The same name with other labels or another help is an error.
func NewRED(reg prometheus.Registerer, o REDOptions) (*RED, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if len(o.Buckets) == 0 {
		o.Buckets = DurationBuckets()
	}
	o.Buckets = slices.Clone(o.Buckets) // they are looked at for ever
	native, err := nativeFactor(reg, o.NativeFactor)
	if err != nil {
		return nil, fmt.Errorf("metrics: histogram %q: %w", o.Name, err)
	}
	r := &RED{turns: turns{start: time.Now(), bounds: o.Buckets}}
	r.duration, err = Register(reg, prometheus.NewHistogramVec(
		histogramOpts(o.Name, o.Help, o.Buckets, native), o.Labels))
	if err != nil {
		return nil, err
	}
	if o.InFlight == "" {
		return r, nil
	}
	r.inFlight, err = Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: o.InFlight, Help: o.InFlightHelp,
	}, o.InFlightLabels))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Register registers c with reg, nil for prometheus.DefaultRegisterer, and returns it, or the collector of the same
// type, names, labels and help that reg has already. Where c asks a function for its value (a GaugeFunc), the first
// one's function stays in force: give each a constant label of its own.
func Register[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	if reg == nil {
		reg = prometheus.DefaultRegisterer
	}
	err := reg.Register(c)
	if err == nil {
		return c, nil
	}
	if dup, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		// Not by C alone: where C is an interface, a gauge would pass for a counter.
		existing, ok := dup.ExistingCollector.(C)
		if ok && reflect.TypeOf(dup.ExistingCollector) == reflect.TypeOf(c) {
			return existing, nil
		}
	}
	return c, fmt.Errorf("metrics: register: %w", err)
}

// Observe records one operation that took d; see [Series.Observe]. There must be as many values as Labels; the caller
// sees to it that they are few ([Values] helps), and keeps the slice.
func (r *RED) Observe(ctx context.Context, d time.Duration, values ...string) {
	r.With(values...).Observe(ctx, d)
}

// InFlight returns the gauge for values, to be incremented at the beginning and decremented at the end. There must be
// as many values as InFlightLabels, and the options must have named a gauge: it panics otherwise.
func (r *RED) InFlight(values ...string) prometheus.Gauge {
	if r.inFlight == nil {
		panic("metrics: InFlight of a RED whose options named no gauge")
	}
	return r.inFlight.WithLabelValues(validUTF8(values)...)
}

// replacement stands for each run of bytes that are not UTF-8.
const replacement = "\uFFFD"

// validUTF8 returns values where they are UTF-8, else a mended copy: the slice may be the caller's own.
func validUTF8(values []string) []string {
	for i, v := range values {
		if utf8.ValidString(v) {
			continue
		}
		mended := slices.Clone(values)
		for j := i; j < len(mended); j++ {
			mended[j] = strings.ToValidUTF8(mended[j], replacement)
		}
		return mended
	}
	return values
}
