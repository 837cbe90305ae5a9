package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// lastChance is what handlers get to see that their context was cancelled.
	lastChance = 250 * time.Millisecond
	// pollInterval is how often the server looks whether the last request has ended.
	pollInterval = 5 * time.Millisecond
)

type drainingKey struct{}

// Draining returns a channel that is closed when the [Server] of the request that ctx belongs to has closed its
// listener. Handlers of long streams end theirs then: the server waits for them. Outside of a Server the channel is
// nil, which never is ready.
func Draining(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(drainingKey{}).(chan struct{})
	return c
}

// errCutOff is why the context of a request ends that DrainTimeout did not suffice for.
var errCutOff = errors.New("httpserver: cut off: the server is stopping")

// drain ends srv within DrainTimeout and lastChance. Its time counts from the end of ctx, not by ctx.
func (s *Server) drain(ctx context.Context, srv *http.Server, cancel context.CancelCauseFunc) error {
	limited, stop := context.WithTimeout(context.WithoutCancel(ctx), max(s.opts.DrainTimeout, 0))
	defer stop()
	err := srv.Shutdown(limited)
	if err == nil {
		// Shutdown does not count connections that a handler took over.
		err = s.idle(limited)
	}
	if err == nil {
		return nil
	}
	left := s.active.Load()
	cancel(errCutOff)
	closeErr := srv.Close()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastChance)
	defer stop()
	_ = s.idle(last) // it changes nothing: they are cut off
	if left == 0 {
		return closeErr // idle connections alone were left, which is no loss
	}
	return errors.Join(fmt.Errorf("%d requests cut off after %v: %w", left, s.opts.DrainTimeout, err), closeErr)
}

// idle waits until no request runs.
func (s *Server) idle(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for s.active.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
