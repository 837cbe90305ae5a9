package grpcserver

import (
	"context"
	"net"
)

// ServeOn is Run on a listener of the test's.
func (s *Server) ServeOn(ctx context.Context, ln net.Listener) error {
	s.running.Store(true)
	if err := s.check(); err != nil {
		return err
	}
	return s.serveOn(ctx, ln)
}

// Bearer is the parser of the authorization metadata.
func Bearer(values []string) (string, error) { return bearer(values) }
