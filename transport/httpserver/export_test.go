package httpserver

import (
	"context"
	"net"
)

// ServeOn is Run on a listener of the test's.
func (s *Server) ServeOn(ctx context.Context, ln net.Listener) error {
	if s.err != nil {
		return s.err
	}
	return s.serveOn(ctx, ln)
}
