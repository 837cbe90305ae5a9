package resilience

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// ErrOpen matches the error of a call that was refused because the policy's circuit breaker is open, or half open with
// its probes under way. The dependency was not called. [RetryDelay] of such an error is when the next probe may pass, or
// 1s where that hangs on a probe under way. Servers of package transport send it as "unavailable" (503) with that delay.
var ErrOpen = errors.New("circuit breaker open")

// whileProbing is what a refused caller is asked to wait when nobody knows how long.
const whileProbing = time.Second

// openError is one refusal.
type openError struct{ after time.Duration }

func (e *openError) Error() string             { return ErrOpen.Error() }
func (e *openError) Is(target error) bool      { return target == ErrOpen }
func (e *openError) RetryAfter() time.Duration { return e.after }

// What gobreaker is told of an attempt: nil for a success, or one of these.
var (
	errFailed  = errors.New("failed")
	errIgnored = errors.New("ignored")
)

// verdict translates an outcome for gobreaker.
func verdict(o Outcome) error {
	switch o {
	case Success:
		return nil
	case Ignored:
		return errIgnored
	}
	return errFailed
}

// breaker keeps gobreaker's state machine off the path of a healthy dependency. While closed with no run of failures,
// an attempt costs two atomic loads: gobreaker, with its lock, is told only of what can change its state, which is
// a failure, or the success that ends a run of them.
type breaker struct {
	cb      *gobreaker.TwoStepCircuitBreaker[struct{}]
	name    string
	openFor time.Duration
	logger  *slog.Logger

	phase   atomic.Uint64 // counts the changes of state, times two, plus one while closed
	failing atomic.Bool   // gobreaker may have counted failures since the last success
	start   time.Time     // what dueAt counts from, on the monotonic clock
	dueAt   atomic.Int64  // when the next probe may pass, in nanoseconds since start; 0 unless open

	unsaid  atomic.Bool // changes is not empty
	mu      sync.Mutex  // guards changes
	changes []gobreaker.State
}

// pass admits one attempt.
type pass struct {
	phase uint64      // of the breaker when it was closed
	done  func(error) // tells gobreaker; nil while closed
}

func newBreaker(name string, o BreakerOptions, logger *slog.Logger) *breaker {
	if logger == nil {
		logger = slog.Default()
	}
	b := &breaker{name: name, openFor: o.OpenFor, logger: logger, start: time.Now()}
	if b.openFor <= 0 {
		b.openFor = defaultOpenFor
	}
	if o.HalfOpenProbes <= 0 {
		o.HalfOpenProbes = defaultProbes
	}
	failures := int64(orDefault(o.ConsecutiveFailures, defaultFailures))
	b.phase.Store(1)
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:          name,
		MaxRequests:   uint32(min(o.HalfOpenProbes, maxProbes)),
		Timeout:       b.openFor,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int64(c.ConsecutiveFailures) >= failures },
		IsExcluded:    func(err error) bool { return errors.Is(err, errIgnored) },
		OnStateChange: b.changed,
	})
	return b
}

// enter admits an attempt or refuses it. A nil breaker admits everything.
func (b *breaker) enter() (pass, error) {
	if b == nil {
		return pass{}, nil
	}
	if phase := b.phase.Load(); phase&1 == 1 {
		return pass{phase: phase}, nil
	}
	done, err := b.cb.Allow()
	b.logChanges()
	if err != nil {
		after := b.untilDue()
		if after == 0 {
			after = whileProbing
		}
		return pass{}, &openError{after}
	}
	return pass{done: done}, nil
}

// leave reports what came of an admitted attempt.
func (b *breaker) leave(p pass, o Outcome) {
	if b == nil {
		return
	}
	if p.done != nil {
		p.done(verdict(o))
		b.logChanges()
		return
	}
	if o == Ignored || o == Success && !b.failing.Load() || b.phase.Load() != p.phase {
		return // the last: a result from before a change says nothing of what is now
	}
	if o == Success {
		// Before gobreaker forgets the run: a failure counted after that sets it again, one counted before is forgotten.
		b.failing.Store(false)
	}
	if done, err := b.cb.Allow(); err == nil {
		done(verdict(o))
	}
	if o == Failure {
		b.failing.Store(true)
	}
	b.logChanges()
}

// refusal returns what an attempt would be refused with after delay, nil when it would be admitted.
func (b *breaker) refusal(delay time.Duration) error {
	if b == nil {
		return nil
	}
	if due := b.untilDue(); due > delay {
		return &openError{due}
	}
	return nil
}

// untilDue returns how long the breaker stays open, 0 when it is not.
func (b *breaker) untilDue() time.Duration {
	due := b.dueAt.Load()
	if due == 0 {
		return 0
	}
	return max(time.Duration(due)-time.Since(b.start), 0)
}

// changed runs under gobreaker's lock.
func (b *breaker) changed(_ string, _, to gobreaker.State) {
	due := time.Duration(0)
	if to == gobreaker.StateOpen {
		due = time.Since(b.start) + b.openFor
	}
	b.dueAt.Store(int64(due))
	next := b.phase.Load()&^1 + 2
	if to == gobreaker.StateClosed {
		b.failing.Store(false)
		next++
	}
	b.phase.Store(next)
	// Logged later, outside of the lock: a handler may block, or make a call under this very policy.
	b.mu.Lock()
	b.changes = append(b.changes, to)
	b.mu.Unlock()
	b.unsaid.Store(true)
}

// logChanges logs the changes of state that nobody has logged yet.
func (b *breaker) logChanges() {
	if !b.unsaid.CompareAndSwap(true, false) {
		return
	}
	b.mu.Lock()
	changes := b.changes
	b.changes = nil
	b.mu.Unlock()
	for _, to := range changes {
		level := slog.LevelInfo
		if to == gobreaker.StateOpen {
			level = slog.LevelWarn
		}
		b.logger.LogAttrs(context.Background(), level, "circuit breaker "+to.String(), slog.String("policy", b.name))
	}
}
