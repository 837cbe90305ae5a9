package resilience

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// HedgeOptions say when a [Policy] sends a second try beside one that takes long, and takes whichever answers first:
// "hedged requests" (Dean and Barroso, "The Tail at Scale", 2013).
type HedgeOptions struct {
	// Quantile is the share of tries that are quick enough: the second is sent when the first has taken longer than
	// that share of the tries before it did. Nothing is hedged until the policy has seen enough of them to know (19 for
	// 0.95). Zero, and what does not lie between 0 and 1, mean 0.95.
	Quantile float64
	// MinDelay is the least that the second try waits for the first, so that calls of microseconds are not doubled for
	// the scheduler's sake. Zero means 1ms; negative means no least.
	MinDelay time.Duration
	// MaxRatio bounds the share of tries that get a second one, apart from a burst of ten, so that a dependency which
	// has become slow for all is not asked for twice the work. The budget of retries is another. Zero means 0.1; negative
	// and more than 1 mean 1.
	MaxRatio float64
}

// Defaults of [HedgeOptions]. The share is twice of what lies above the quantile, for the time after a change.
const (
	defaultQuantile   = 0.95
	defaultHedgeDelay = time.Millisecond
	defaultHedgeRatio = 0.1
)

// The causes with which the context of the other try ends.
var (
	errOtherWon = errors.New("resilience: the other try was faster")
	errBroken   = errors.New("resilience: the other try panicked or ended its goroutine")
)

// hedge is what the tries of one policy have in common.
type hedge struct {
	latency *quantile
	least   time.Duration
	share   *allowance
}

func newHedge(o *HedgeOptions) *hedge {
	if o == nil {
		return nil
	}
	q, ratio := o.Quantile, o.MaxRatio
	if !(q > 0 && q < 1) {
		q = defaultQuantile
	}
	switch {
	case ratio == 0:
		ratio = defaultHedgeRatio
	case !(ratio > 0 && ratio < 1):
		ratio = 1
	}
	return &hedge{
		latency: newQuantile(q), least: orDefault(o.MinDelay, defaultHedgeDelay), share: newAllowance(ratio, 0),
	}
}

// delay is how long to wait for the first try, zero for ever.
func (h *hedge) delay() time.Duration {
	d := h.latency.estimate()
	if d == 0 {
		return 0
	}
	return max(d, h.least)
}

// note learns from a first try. One that failed says nothing of how long an answer takes; of one that lost, it is known
// that it would have taken longer.
func (h *hedge) note(d time.Duration, o Outcome, lost bool) {
	switch {
	case lost:
		h.latency.observe(d + 1)
	case o == Success:
		h.latency.observe(d)
	}
}

// hedged makes one attempt of up to two tries. The first runs on the caller's goroutine; Do returns only when both have
// ended, which the context of the slower one asks for as soon as the other has an answer.
func hedged[T any](
	ctx context.Context, p *Policy, pass pass, deadline time.Time,
	fn func(context.Context) (T, error), release func(T),
) (T, Outcome, error) {
	p.hedge.share.earn()
	began, delay := time.Now(), p.hedge.delay()
	if delay == 0 {
		v, o, err := attempt(ctx, p, pass, deadline, fn)
		p.hedge.note(time.Since(began), o, false)
		return v, o, err
	}
	racing, lose := context.WithCancelCause(ctx)
	r := &race[T]{lose: lose, done: make(chan struct{})}
	defer lose(nil)
	r.timer = time.AfterFunc(delay, func() { r.second(racing, p, deadline, fn) })
	// Deferred, because the first try may panic: the second is not left behind.
	defer r.settle(release)
	v, o, err := attempt(racing, p, pass, deadline, fn)
	r.ended(1, o)
	took := time.Since(began)
	r.wait()
	won := r.winner.Load()
	p.hedge.note(took, o, won == 2)
	if won != 2 {
		return v, o, err
	}
	if release != nil {
		release(v)
	}
	r.taken = true
	return r.v, r.o, r.err
}

// race is the second try, and which of the two was first.
type race[T any] struct {
	lose   context.CancelCauseFunc
	timer  *time.Timer  // starts the second try; nil once that has been waited for
	winner atomic.Int32 // 1 or 2, zero for none yet

	done     chan struct{} // closed when the second has ended; what follows is its outcome
	v        T
	o        Outcome
	err      error
	ran      bool // the second try was made
	returned bool // and fn returned
	panicked any
	taken    bool // the caller gets v
}

// ended notes that a try has ended. An outcome other than a failure is an answer, and the first answer wins.
func (r *race[T]) ended(try int32, o Outcome) {
	if o != Failure && r.winner.CompareAndSwap(0, try) {
		r.lose(errOtherWon)
	}
}

// second makes the second try, unless the first has an answer, the share of them is used up or the breaker refuses.
func (r *race[T]) second(ctx context.Context, p *Policy, deadline time.Time, fn func(context.Context) (T, error)) {
	defer close(r.done)
	if r.winner.Load() != 0 || !p.hedge.share.spend() {
		return
	}
	pass, refusal := p.breaker.enter()
	if refusal != nil {
		return
	}
	r.ran = true
	defer func() {
		// It belongs to the caller, whose goroutine this is not, and who is not to wait for an answer that is of no use.
		if r.panicked = recover(); !r.returned {
			r.lose(errBroken)
		}
	}()
	r.v, r.o, r.err = attempt(ctx, p, pass, deadline, fn)
	r.returned = true
	r.ended(2, r.o)
}

// wait returns when the second try has ended, or will not begin.
func (r *race[T]) wait() {
	if !r.timer.Stop() {
		<-r.done
	}
	r.timer = nil
}

// settle ends the race on the caller's goroutine.
func (r *race[T]) settle(release func(T)) {
	if r.timer != nil {
		r.lose(errBroken)
		r.wait()
	}
	switch {
	case !r.ran:
	case r.panicked != nil:
		panic(r.panicked)
	case !r.returned:
		runtime.Goexit()
	case !r.taken && release != nil:
		release(r.v)
	}
}
