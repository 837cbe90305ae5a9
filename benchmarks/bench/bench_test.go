package bench_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

func TestInterleave(t *testing.T) {
	t.Run("TakesTurnsAndChangesWhoIsFirst", func(t *testing.T) {
		var order []string
		side := func(name string) func() (string, error) {
			return func() (string, error) {
				order = append(order, name)
				return name, nil
			}
		}
		pairs, err := bench.Interleave(3, side("ours"), side("peer"))
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"ours", "peer", "peer", "ours", "ours", "peer"}; !slices.Equal(order, want) {
			t.Errorf("order: got %v, want %v", order, want)
		}
		for i, p := range pairs {
			if want := (bench.Pair[string]{Ours: "ours", Peer: "peer"}); p != want {
				t.Errorf("pair %d: got %v, want %v", i, p, want)
			}
		}
	})

	t.Run("EndsAtTheFirstError", func(t *testing.T) {
		broken := errors.New("broken")
		n := 0
		ok := func() (int, error) { return 1, nil }
		bad := func() (int, error) { n++; return 0, broken }
		if _, err := bench.Interleave(5, ok, bad); !errors.Is(err, broken) || n != 1 {
			t.Errorf("got %v after %d calls, want %v after 1", err, n, broken)
		}
	})
}

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   bench.Spread
	}{
		{[]float64{3}, bench.Spread{Min: 3, Median: 3, Max: 3}},
		{[]float64{9, 1, 2}, bench.Spread{Min: 1, Median: 2, Max: 9}},
		{[]float64{4, 1, 2, 9}, bench.Spread{Min: 1, Median: 3, Max: 9}},
	} {
		given := slices.Clone(c.values)
		if got := bench.SpreadOf(c.values); got != c.want {
			t.Errorf("SpreadOf(%v): got %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, given) {
			t.Errorf("SpreadOf sorted its caller's slice: got %v, want %v", c.values, given)
		}
	}
}

func TestReport(t *testing.T) {
	// The middle pair was measured while the machine was ten times slower: no ratio shows it.
	pairs := []bench.Pair[float64]{{Ours: 8, Peer: 10}, {Ours: 80, Peer: 100}, {Ours: 8, Peer: 10}}
	same := func(v float64) float64 { return v }
	var out strings.Builder
	err := bench.Report(&out, "ours", "theirs",
		bench.NewRow("time", "ns", 0.8, pairs, same), bench.NewRow("bytes", "B", 0.79, pairs, same),
		bench.NewRow("rate", "1/s", 0, pairs, same))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\ntime   ns   8.0   (8.0..80.0)  10.0    (10.0..100)  0.80   (0.80..0.80)\n",
		"\ntarget: time want <= 0.80 got 0.80 ok\n",
		"\ntarget: bytes want <= 0.79 got 0.80 MISSED\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "target: rate") {
		t.Errorf("got\n%s\nwant no target for a row without one", out.String())
	}
}

func TestReportMost(t *testing.T) {
	var out strings.Builder
	for _, got := range []float64{18, 18.1} {
		if err := bench.ReportMost(&out, "allocations", 18, got); err != nil {
			t.Fatal(err)
		}
	}
	const want = "target: allocations want <= 18 got 18.0 ok\ntarget: allocations want <= 18 got 18.1 MISSED\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestNewRowOfNothingOnBothSides(t *testing.T) {
	row := bench.NewRow("allocations", "", 0, []bench.Pair[float64]{{}}, func(v float64) float64 { return v })
	if want := (bench.Spread{Min: 1, Median: 1, Max: 1}); row.Ratio != want {
		t.Errorf("got %v, want %v", row.Ratio, want)
	}
}

func TestCPUTime(t *testing.T) {
	begin := bench.CPUTime()
	for n := 0; bench.CPUTime()-begin < time.Millisecond; n++ {
		if n == 1e9 {
			t.Fatal("got no time for work, want a millisecond")
		}
	}
}

func Example() {
	costs := map[string]float64{"kit": 80, "by hand": 100}
	measure := func(side string) func() (float64, error) {
		return func() (float64, error) { return costs[side], nil }
	}
	pairs, err := bench.Interleave(7, measure("kit"), measure("by hand"))
	if err != nil {
		fmt.Println(err)
		return
	}
	row := bench.NewRow("allocations", "", 0.9, pairs, func(v float64) float64 { return v })
	_ = bench.Report(os.Stdout, "kit", "by hand", row)
	// Output:
	//                kit   (min..max)    by hand  (min..max)  ratio  (min..max)
	// allocations    80.0  (80.0..80.0)  100      (100..100)  0.80   (0.80..0.80)
	//
	// target: allocations want <= 0.90 got 0.80 ok
}
