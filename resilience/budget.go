package resilience

import (
	"errors"
	"sync/atomic"
	"time"
)

// ErrRetryBudget matches the error of a call that was not repeated because its policy had spent its budget, see
// RetryOptions.MaxRatio. The error of the last attempt is in the chain before it.
var ErrRetryBudget = errors.New("retry budget spent")

const (
	// token is one extra call, in the allowance's unit, so that a share of a call is a whole number.
	token = 1000
	// burst is how many extra calls a full allowance holds.
	burst = 10
)

// allowance bounds extra calls, retries and hedges, to a share of the calls, so that an outage is not multiplied: each
// call pays ratio tokens in, each extra one takes a whole one out. It holds at most burst of them and starts full.
//
// It is the token bucket of Finagle's RetryBudget, whose trickle keeps a client that calls seldom able to retry.
type allowance struct {
	ratio   int64 // paid in for each call; at least token for no bound
	trickle int64 // paid in for each second
	tokens  atomic.Int64
	start   time.Time
	paid    atomic.Int64 // seconds since start whose trickle is in
}

func newAllowance(ratio float64, trickle int64) *allowance {
	a := &allowance{ratio: int64(min(ratio, burst) * token), trickle: trickle * token, start: time.Now()}
	a.tokens.Store(burst * token)
	return a
}

// earn pays in for a call. A nil allowance is none. While it is full, which it is as long as all is well, that costs a load.
func (a *allowance) earn() {
	if a != nil {
		a.add(a.ratio)
	}
}

func (a *allowance) add(n int64) {
	for {
		have := a.tokens.Load()
		if have >= burst*token || a.tokens.CompareAndSwap(have, min(have+n, burst*token)) {
			return
		}
	}
}

// spend takes an extra call out, and reports whether there was one. A nil allowance has no bound.
func (a *allowance) spend() bool {
	if a == nil {
		return true
	}
	if seconds, paid := int64(time.Since(a.start)/time.Second), a.paid.Load(); seconds > paid &&
		a.paid.CompareAndSwap(paid, seconds) {
		a.add((seconds - paid) * a.trickle)
	}
	for {
		have := a.tokens.Load()
		if have < token {
			return false
		}
		if a.tokens.CompareAndSwap(have, have-token) {
			return true
		}
	}
}
