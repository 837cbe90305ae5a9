package metrics_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/mainstay-go/mainstay/metrics"
)

func TestValues(t *testing.T) {
	t.Run("LetsTheFirstThrough", func(t *testing.T) {
		v := metrics.NewValues(2)
		for _, c := range []struct{ value, want string }{
			{"a", "a"}, {"b", "b"}, {"c", metrics.Other}, {"a", "a"}, {"b", "b"}, {"", metrics.Other}, {"c", metrics.Other},
		} {
			if got := v.Label(c.value); got != c.want {
				t.Errorf("Label(%q): got %q, want %q", c.value, got, c.want)
			}
		}
	})

	t.Run("LetsNoneThroughBelowOne", func(t *testing.T) {
		for _, limit := range []int{0, -1} {
			if got := metrics.NewValues(limit).Label("a"); got != metrics.Other {
				t.Errorf("limit %d: got %q, want %q", limit, got, metrics.Other)
			}
		}
	})

	t.Run("KeepsTheBoundInParallel", func(t *testing.T) {
		v := metrics.NewValues(10)
		var got sync.Map
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 1000 {
					got.Store(v.Label(strconv.Itoa((g+i)%500)), true)
				}
			})
		}
		wg.Wait()
		n := 0
		got.Range(func(any, any) bool { n++; return true })
		if n != 11 { // ten and Other
			t.Errorf("distinct labels: got %d, want 11", n)
		}
	})
}

func BenchmarkValues(b *testing.B) {
	v := metrics.NewValues(100)
	for i := range 100 {
		v.Label(strconv.Itoa(i))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v.Label("42")
			v.Label("stranger")
		}
	})
}
