// Package health answers the questions that an orchestrator asks of a process: does it live, has it started, and should
// it get traffic.
//
//	checks := health.New(nil,
//		health.Check{Name: "migrations", Check: migrated, Startup: true},
//		health.Check{Name: "database", Check: db.PingContext})
//	mux.Handle("GET /livez", checks.Liveness())
//	mux.Handle("GET /startupz", checks.Startup())
//	mux.Handle("GET /readyz", checks.Readiness())
//
// Liveness is 200 as long as the process answers at all: a restart mends no dependency. Start-up is 200 once every
// check that is marked Startup has passed. Readiness is 200 while every check passes, and 503 otherwise; once
// [Checks.Drain] was called, it is 503 for good.
//
// These answers are for the public port and say no more than the status. [Checks.Details] is readiness for the private
// one: it names the checks and their state. None has the text of an error, which goes to the log when a check's state
// changes. The gRPC face is grpcserver's: see its Options.Health, and [Checks.State] for faces of your own.
//
// All are cheap to ask: concurrent probes share one round of checks, and a round's result stands for a second.
package health

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const defaultMaxAge = time.Second

// Options of [Checks].
type Options struct {
	// MaxAge is how long a round's result stands. Zero means 1s; negative means that each probe starts a round, unless
	// one is under way.
	MaxAge time.Duration
	// Logger gets a line when a check's state changes. Nil means slog.Default().
	Logger *slog.Logger
}

// Checks are the named checks of one process. It is a Runner, so that mainstay.Run tells it to drain. Its methods are
// safe for concurrent use.
type Checks struct {
	maxAge   time.Duration
	logger   *slog.Logger
	draining atomic.Bool

	mu     sync.Mutex
	checks []*check // grows only
	last   *round   // finished or under way; nil before the first
}

// round is one run of all checks.
type round struct {
	done   chan struct{} // closed when the fields below are set
	ended  time.Time
	ok     bool
	states map[string]string
}

// New returns the checks of a process; none at all means always ready. Nil options are defaults.
func New(o *Options, checks ...Check) *Checks {
	if o == nil {
		o = &Options{}
	}
	h := &Checks{maxAge: o.MaxAge, logger: cmp.Or(o.Logger, slog.Default())}
	if h.maxAge == 0 {
		h.maxAge = defaultMaxAge
	}
	h.Add(checks...)
	return h
}

// Add adds checks, for dependencies that come up after New. They count from the next round on. Give each its own name.
func (h *Checks) Add(checks ...Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range checks {
		if c.Timeout == 0 {
			c.Timeout = defaultTimeout
		}
		h.checks = append(h.checks, &check{Check: c})
	}
}

// Drain makes readiness 503 for good. It returns at once and may be called any number of times.
func (h *Checks) Drain() { h.draining.Store(true) }

// Run blocks until ctx ends and drains. It is there for mainstay.Run, which calls Drain before it ends anything. It
// waits for the round of checks that is under way.
func (h *Checks) Run(ctx context.Context) error {
	<-ctx.Done()
	h.Drain()
	h.mu.Lock()
	last := h.last
	h.mu.Unlock()
	if last != nil {
		<-last.done
	}
	return nil
}

// String names the checks in errors.
func (h *Checks) String() string { return "health checks" }

var (
	errDraining = errors.New("health: draining")
	errNotReady = errors.New("health: not ready")
)

// ready returns the checks' states, and nil while all pass.
func (h *Checks) ready(ctx context.Context) (map[string]string, error) {
	if h.draining.Load() {
		return nil, errDraining
	}
	r, err := h.round(ctx)
	switch {
	case err != nil:
		return nil, err
	case h.draining.Load():
		return r.states, errDraining
	case !r.ok:
		return r.states, errNotReady
	}
	return r.states, nil
}

// starting reports whether a check has still to pass once.
func (h *Checks) starting() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.checks, (*check).starting)
}

// round returns a finished round that is young enough.
func (h *Checks) round(ctx context.Context) (*round, error) {
	r := h.current(ctx)
	select {
	case <-r.done:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// current returns the last round where it may stand, else a new one, which has begun.
func (h *Checks) current(ctx context.Context) *round {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.last; r != nil {
		select {
		case <-r.done:
			if time.Since(r.ended) < h.maxAge {
				return r
			}
		default:
			return r
		}
	}
	r := &round{done: make(chan struct{}), states: make(map[string]string, len(h.checks))}
	h.last = r
	checks := h.checks[:len(h.checks):len(h.checks)]
	// Of no probe's context: a probe that gives up must not fail the round for the others.
	go h.run(context.WithoutCancel(ctx), r, checks)
	return r
}

func (h *Checks) run(ctx context.Context, r *round, checks []*check) {
	defer close(r.done)
	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { errs[i] = c.call(ctx) })
	}
	wg.Wait()
	r.ok = true
	for i, c := range checks {
		if errs[i] == nil {
			c.passed.Store(true)
		}
		r.states[c.Name] = state(errs[i])
		r.ok = r.ok && errs[i] == nil
		h.logChange(ctx, c, errs[i])
	}
	r.ended = time.Now()
}

func (h *Checks) logChange(ctx context.Context, c *check, err error) {
	if c.failed == (err != nil) {
		return
	}
	c.failed = err != nil
	if err != nil {
		h.logger.LogAttrs(ctx, slog.LevelWarn, "health check fails",
			slog.String("check", c.Name), slog.String("error", err.Error()))
		return
	}
	h.logger.LogAttrs(ctx, slog.LevelInfo, "health check passes again", slog.String("check", c.Name))
}
