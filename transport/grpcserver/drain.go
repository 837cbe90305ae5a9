package grpcserver

import (
	"context"
	"fmt"
	"time"
)

type drainingKey struct{}

// Draining returns a channel that is closed when the [Server] of the streaming call that ctx belongs to begins to
// drain. Handlers of long streams end theirs then: the server waits for them. Elsewhere the channel is nil, which never
// is ready.
func Draining(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(drainingKey{}).(chan struct{})
	return c
}

// drain ends the server within DrainTimeout, and waits for what it cut off.
func (s *Server) drain() error {
	s.health.Shutdown()
	close(s.draining)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.grpc.GracefulStop()
	}()
	timer := time.NewTimer(s.opts.DrainTimeout)
	defer timer.Stop()
	select {
	case <-stopped:
		return nil
	case <-timer.C:
	}
	left := s.active.Load()
	s.obs.cutOff.Store(true)
	s.grpc.Stop()
	<-stopped
	if left == 0 {
		return nil // idle connections alone were left, which is no loss
	}
	return fmt.Errorf("%d calls cut off after %v: %w", left, s.opts.DrainTimeout, context.DeadlineExceeded)
}
