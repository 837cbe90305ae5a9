package sqspubsub

import (
	"sync"
	"sync/atomic"
)

// inParallel calls do with 0 to n-1, in this order, with at most width calls at a time, and returns when all of them
// have.
func inParallel(n, width int, do func(i int)) {
	if width = min(n, width); width <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}
