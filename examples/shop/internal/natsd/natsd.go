// Package natsd runs a NATS server inside this process, so that the shop needs nothing installed. It is the same code
// as the nats-server program, with JetStream on a file store; a production shop runs three of them as a cluster.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds how long a server may take until it accepts connections.
const startTimeout = 10 * time.Second

// Server is a running NATS server on a loopback address. It is a Runner: put it before everything that uses it.
type Server struct{ s *server.Server }

// Start starts a server that keeps its streams in the folder dir and listens on a free loopback port. End it by
// ending the context of [Server.Run], or by [Server.Stop].
func Start(dir string) (*Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "shop",
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   dir,
		NoLog:      true,
		NoSigs:     true, // signals are mainstay.Run's
	})
	if err != nil {
		return nil, fmt.Errorf("natsd: new server: %w", err)
	}
	go s.Start() // Stop waits for it
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("natsd: not ready for connections after " + startTimeout.String())
	}
	return &Server{s: s}, nil
}

// URL is where clients connect: "nats://127.0.0.1:port".
func (s *Server) URL() string { return s.s.ClientURL() }

// Run waits for ctx to end and stops the server.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.Stop()
	return nil
}

// Stop stops the server and waits until it has stopped. Stopping twice is harmless.
func (s *Server) Stop() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
}

// String names the server in errors.
func (s *Server) String() string { return "nats-server" }
