// Package bench is what the groups of benchmarks share: two sides measured in turn, medians with their spread, the
// table, and one line a target. It is a module of its own, of the standard library alone, because every group is one
// too: copies would drift apart, and a package of the kit would ship to users.
//
// What it promises: the two sides of a pair are measured one right after the other, and a ratio is taken within a pair,
// so that a machine which is slow for a while is slow for both. It does not make a busy machine quiet: look at the
// spread before the median.
package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// Pair is one repetition: what was measured of the kit, and of its peer.
type Pair[T any] struct{ Ours, Peer T }

// Interleave measures ours and peer n times in turn. Who goes first changes from pair to pair, so that what the first
// leaves behind (garbage, a warm cache) is not always the other's. It ends at the first error.
func Interleave[T any](n int, ours, peer func() (T, error)) ([]Pair[T], error) {
	pairs := make([]Pair[T], n)
	for i := range pairs {
		p := &pairs[i]
		turns := []turn[T]{{ours, &p.Ours}, {peer, &p.Peer}}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, t := range turns {
			var err error
			if *t.into, err = t.measure(); err != nil {
				return nil, err
			}
		}
	}
	return pairs, nil
}

type turn[T any] struct {
	measure func() (T, error)
	into    *T
}

// Spread is what several measurements of one figure came to.
type Spread struct{ Min, Median, Max float64 }

// SpreadOf returns the spread of values, of which there must be one at least. The median of an even number of values
// is the mean of the two in the middle.
func SpreadOf(values []float64) Spread {
	s := slices.Sorted(slices.Values(values))
	half := len(s) / 2
	median := s[half]
	if len(s)%2 == 0 {
		median = (s[half-1] + s[half]) / 2
	}
	return Spread{Min: s[0], Median: median, Max: s[len(s)-1]}
}

// Row is one figure of both sides.
type Row struct {
	Name, Unit        string
	Ours, Peer, Ratio Spread
	// Want is the target: the most that Ratio's median may be. Zero means that there is none.
	Want float64
}

// NewRow picks one figure out of pairs, of which there must be one at least, with want as its target, zero for none.
// The ratio is ours by the peer's, pair by pair; of two that are the same, none of either included, it is 1.
func NewRow[T any](name, unit string, want float64, pairs []Pair[T], figure func(T) float64) Row {
	var ours, peer, ratio []float64
	for _, p := range pairs {
		o, h := figure(p.Ours), figure(p.Peer)
		by := 1.0
		if o != h {
			by = o / h
		}
		ours, peer, ratio = append(ours, o), append(peer, h), append(ratio, by)
	}
	return Row{Name: name, Unit: unit, Want: want, Ours: SpreadOf(ours), Peer: SpreadOf(peer), Ratio: SpreadOf(ratio)}
}

// Met reports whether the row has no target, or has reached it.
func (r Row) Met() bool { return r.Want == 0 || r.Ratio.Median <= r.Want }

// Report writes the table of rows under the names of the two sides, then a line for each target.
func Report(w io.Writer, ours, peer string, rows ...Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\t\t%s\t(min..max)\t%s\t(min..max)\tratio\t(min..max)\n", ours, peer)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t(%.2f..%.2f)\n", r.Name, r.Unit,
			number(r.Ours.Median), span(r.Ours), number(r.Peer.Median), span(r.Peer), r.Ratio.Median, r.Ratio.Min, r.Ratio.Max)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		if r.Want == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "target: %s want <= %.2f got %.2f %s\n",
			r.Name, r.Want, r.Ratio.Median, verdict(r.Met())); err != nil {
			return err
		}
	}
	return nil
}

// ReportMost writes the line of a target that is no ratio.
func ReportMost(w io.Writer, name string, want, got float64) error {
	_, err := fmt.Fprintf(w, "target: %s want <= %.0f got %.1f %s\n", name, want, got, verdict(got <= want))
	return err
}

func verdict(met bool) string {
	if met {
		return "ok"
	}
	return "MISSED"
}

func span(s Spread) string { return "(" + number(s.Min) + ".." + number(s.Max) + ")" }

// number has one decimal where it matters.
func number(v float64) string {
	if v < 100 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}
