package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// handServer runs a handler with the time-outs that the kit's server has.
type handServer struct {
	http  *http.Server
	ln    net.Listener // set before ready is closed
	ready chan struct{}
}

// byHandServer puts what build makes into an http.Server.
func byHandServer(build func(telemetry) (http.Handler, error)) func(telemetry) (server, error) {
	return func(t telemetry) (server, error) {
		h, err := build(t)
		if err != nil {
			return nil, err
		}
		return &handServer{
			http: &http.Server{
				Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
				WriteTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second,
			},
			ready: make(chan struct{}),
		}, nil
	}
}

// Run serves until ctx ends.
func (s *handServer) Run(ctx context.Context) error {
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
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// Ready is closed when the server listens.
func (s *handServer) Ready() <-chan struct{} { return s.ready }

// Addr is where it listens, from Ready on.
func (s *handServer) Addr() string { return s.ln.Addr().String() }
