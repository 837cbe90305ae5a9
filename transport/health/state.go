package health

import (
	"context"
	"slices"
	"time"
)

// State is what the checks of a process have found, for faces other than HTTP's.
type State struct {
	// At is when it was found: of two states the later one holds.
	At time.Time

	ready    bool
	draining bool
	states   map[string]string
}

// Ready reports whether what needs the named checks should get traffic: while each of them passes, and no longer once
// [Checks.Drain] was called. A name that no check has does not pass. No names at all mean every check, which is
// readiness.
func (s State) Ready(names ...string) bool {
	if len(names) == 0 {
		return s.ready && !s.draining
	}
	return !s.draining && !slices.ContainsFunc(names, func(name string) bool { return s.states[name] != stateOK })
}

// State returns what the probes of the HTTP faces would be told, by the same rounds of checks. It is as cheap to ask,
// and waits for a round that is under way. Its error is that of ctx.
func (h *Checks) State(ctx context.Context) (State, error) {
	if h.draining.Load() {
		return State{At: time.Now(), draining: true}, nil
	}
	r, err := h.round(ctx)
	if err != nil {
		return State{}, err
	}
	return State{At: r.ended, ready: r.ok, draining: h.draining.Load(), states: r.states}, nil
}

// Names returns the names of the checks, in the order that they were added in.
func (h *Checks) Names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, len(h.checks))
	for i, c := range h.checks {
		names[i] = c.Name
	}
	return names
}
