package grpcserver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport/health"
)

// watchEvery is how often the checks are asked while somebody watches.
const watchEvery = 5 * time.Second

// readiness writes into the health service what a process's checks say. A nil one does nothing.
type readiness struct {
	checks   *health.Checks
	needs    map[string][]string // checks by service
	services map[string]service  // grows until Run
	into     *grpchealth.Server
	watches  atomic.Int64

	mu      sync.Mutex
	written time.Time // when that was found which into has
}

// refresh asks the checks. It returns nil when into has what they say, and the status of ctx's end otherwise.
func (r *readiness) refresh(ctx context.Context) error {
	if r == nil {
		return nil
	}
	state, err := r.checks.State(ctx)
	if err != nil {
		return status.FromContextError(err).Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if state.At.Before(r.written) {
		return nil // somebody else has heard later news
	}
	r.written = state.At
	r.into.SetServingStatus("", servingStatus(state.Ready()))
	for name := range r.services {
		r.into.SetServingStatus(name, servingStatus(state.Ready(r.needs[name]...)))
	}
	return nil
}

// poll asks the checks while somebody watches, until ctx ends.
func (r *readiness) poll(ctx context.Context) {
	if r == nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.watches.Load() > 0 {
				_ = r.refresh(ctx) // it fails when ctx has ended, which comes next
			}
		}
	}
}

// enter counts a watch until leave.
func (r *readiness) enter() {
	if r != nil {
		r.watches.Add(1)
	}
}

func (r *readiness) leave() {
	if r != nil {
		r.watches.Add(-1)
	}
}

func servingStatus(ready bool) healthpb.HealthCheckResponse_ServingStatus {
	if ready {
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}
