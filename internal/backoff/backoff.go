// Package backoff computes the pause before another attempt: exponential, bounded and with jitter, so that those who
// failed together do not come back together.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Delay returns the pause after the nth failure in a row, n from 1: uniformly random between least and
// least·2ⁿ, the latter bounded by most. It is never below least, so that a caller can promise a minimum; where least
// and most are equal it is exact. A least of zero or below is no pause at all.
//
// It is the "full jitter" of Marc Brooker's "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015) over a
// floor: a pause of nearly nothing, which full jitter alone allows, is a hot loop in the unlucky case.
func Delay(n int, least, most time.Duration) time.Duration {
	if least <= 0 {
		return 0
	}
	ceiling := least
	for range n {
		if ceiling > most/2 {
			ceiling = most
			break
		}
		ceiling *= 2
	}
	if ceiling <= least {
		return least
	}
	return least + rand.N(ceiling-least+1)
}
