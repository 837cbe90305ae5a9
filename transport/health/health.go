// Package health answers the two questions that an orchestrator asks of a process: does it live, and should it get
// traffic.
//
//	checks := health.New(nil, health.Check{Name: "database", Check: db.PingContext})
//	mux.Handle("GET /livez", checks.Liveness())
//	mux.Handle("GET /readyz", checks.Readiness())
//
// Liveness is 200 as long as the process answers at all: a restart mends no dependency. Readiness is 200 while every
// check passes, and 503 otherwise; once [Checks.Drain] was called, it is 503 for good. The bodies name the checks and
// their state, and never the text of an error, which goes to the log when a check's state changes.
//
// Both are cheap to ask: concurrent probes share one round of checks, and a round's result stands for a second.
package health

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultTimeout = 2 * time.Second
	defaultMaxAge  = time.Second
)

// Check asks one dependency.
type Check struct {
	// Name in the answer and in the log.
	Name string
	// Check returns nil when the dependency can be used. It should return when its context ends; one that does not
	// counts as failed, and is not called again until it has returned.
	Check func(context.Context) error
	// Timeout bounds one call. Zero means 2s; negative means none, for a check that bounds itself: a probe waits for it.
	Timeout time.Duration
}

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
	round  *round   // the last one, finished or under way; nil before the first
}

// check is a Check and its history. The fields behind running belong to the round under way.
type check struct {
	Check
	running atomic.Bool // a call has not returned
	failed  bool
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
	last := h.round
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
	r := h.current(ctx)
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case h.draining.Load():
		return r.states, errDraining
	case !r.ok:
		return r.states, errNotReady
	}
	return r.states, nil
}

// current returns the last round where it may stand, else a new one, which has begun.
func (h *Checks) current(ctx context.Context) *round {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.round; r != nil {
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
	h.round = r
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
		r.states[c.Name] = state(errs[i])
		r.ok = r.ok && errs[i] == nil
		h.logChange(ctx, c, errs[i])
	}
	r.ended = time.Now()
}

var errStuck = errors.New("health: the check did not return in time")

// call runs c's function within its time-out, whatever the function does.
func (c *check) call(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errStuck // still
	}
	if c.Timeout < 0 {
		defer c.running.Store(false)
		return protect(ctx, c.Check.Check)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	result := make(chan error, 1)
	// A check that ignores its context outlives this call: once, since running keeps the next one from starting.
	go func() {
		err := protect(ctx, c.Check.Check)
		c.running.Store(false) // before the result: the next call may follow at once
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-result:
		return err
	default:
		return errStuck
	}
}

// protect makes a panic a failed check: it runs on a goroutine that nobody else would protect.
func protect(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errors.New("health: the check panicked")
		}
	}()
	return f(ctx)
}

func state(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errStuck), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failing"
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

// Liveness returns a handler that always answers 200.
func (h *Checks) Liveness() http.Handler {
	return face(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, answer{Status: "ok"})
	})
}

// Readiness returns a handler that answers 200 or 503, as the package comment says.
func (h *Checks) Readiness() http.Handler {
	return face(func(w http.ResponseWriter, r *http.Request) {
		states, err := h.ready(r.Context())
		a := answer{Status: "ok", Checks: states}
		status := http.StatusOK
		if err != nil {
			a.Status, status = "unavailable", http.StatusServiceUnavailable
		}
		if errors.Is(err, errDraining) {
			a.Status = "draining"
		}
		write(w, status, a)
	})
}

type answer struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

func write(w http.ResponseWriter, status int, a answer) {
	body, err := json.Marshal(a)
	if err != nil {
		status = http.StatusInternalServerError // strings always encode
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(slices.Concat(body, []byte("\n")))
}
