package main

import (
	"io"
	"runtime"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// contest is the same done by the kit and by a peer.
type contest struct {
	name       string
	ours, peer func()
	want       target
}

// target is the most that the kit may take. Zero means that there is none.
type target struct {
	ratio float64 // of its time to the peer's
	above float64 // ns more than the peer
	ns    float64
	clean bool // no allocation
}

// report writes the targets that are no ratios.
func (t target) report(w io.Writer, name string, pairs []bench.Pair[cost]) error {
	var above, ns, allocs []float64
	for _, p := range pairs {
		above, ns, allocs = append(above, p.Ours.ns-p.Peer.ns), append(ns, p.Ours.ns), append(allocs, p.Ours.allocs)
	}
	for _, most := range []struct {
		asked  bool
		name   string
		want   float64
		values []float64
	}{
		{t.above > 0, "ns above the peer, " + name, t.above, above},
		{t.ns > 0, "ns, " + name, t.ns, ns},
		{t.clean, "allocations, " + name, 0, allocs},
	} {
		if !most.asked {
			continue
		}
		if err := bench.ReportMost(w, most.name, most.want, bench.SpreadOf(most.values).Median); err != nil {
			return err
		}
	}
	return nil
}

// cost is what doing it once costs.
type cost struct{ ns, allocs float64 }

func (c contest) run(e effort) ([]bench.Pair[cost], error) {
	ours, peer := newSide(c.ours, e.round), newSide(c.peer, e.round)
	pairs := make([]bench.Pair[cost], e.pairs)
	for i := range pairs {
		rounds, err := bench.Interleave(e.rounds, ours.time, peer.time)
		if err != nil {
			return nil, err
		}
		best := rounds[0]
		for _, r := range rounds[1:] {
			best.Ours, best.Peer = min(best.Ours, r.Ours), min(best.Peer, r.Peer)
		}
		pairs[i] = bench.Pair[cost]{
			Ours: cost{ns: ours.each(best.Ours), allocs: ours.allocations()},
			Peer: cost{ns: peer.each(best.Peer), allocs: peer.allocations()},
		}
	}
	return pairs, nil
}

// side does it n times in a round.
type side struct {
	do func()
	n  int
}

// newSide finds how often fits into d, and warms up by that.
func newSide(do func(), d time.Duration) side {
	s := side{do, 1}
	for s.clock() < d {
		s.n *= 2
	}
	return s
}

func (s side) clock() time.Duration {
	start := time.Now()
	for range s.n {
		s.do()
	}
	return time.Since(start)
}

// time is clock as bench.Interleave has it.
func (s side) time() (time.Duration, error) { return s.clock(), nil }

func (s side) each(d time.Duration) float64 { return float64(d) / float64(s.n) }

// allocations counts those of a round, each.
func (s side) allocations() float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s.clock()
	runtime.ReadMemStats(&after)
	// What the runtime itself allocates now and then in a round is none of the side's.
	return float64((after.Mallocs - before.Mallocs) / uint64(s.n)) //nolint:gosec // above zero
}
