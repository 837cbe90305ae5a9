package main

import (
	"context"
	"net"
	"net/http"
	"time"
)

// byHandServer runs the handler with the time-outs that the kit's server has.
type byHandServer struct {
	http  *http.Server
	ln    net.Listener // set before ready is closed
	ready chan struct{}
}

func newByHandServer(t telemetry) (server, error) {
	h, err := byHandHandler(t)
	if err != nil {
		return nil, err
	}
	return &byHandServer{
		http: &http.Server{
			Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
			WriteTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second,
		},
		ready: make(chan struct{}),
	}, nil
}

// Run serves until ctx ends.
func (s *byHandServer) Run(ctx context.Context) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.ln = ln
	close(s.ready)
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err = s.http.Shutdown(context.WithoutCancel(ctx))
	<-served
	return err
}

// Ready is closed when the server listens.
func (s *byHandServer) Ready() <-chan struct{} { return s.ready }

// Addr is where it listens, from Ready on.
func (s *byHandServer) Addr() string { return s.ln.Addr().String() }
