// Package natsd runs a NATS server inside this process, so that the shop needs nothing installed. It is the same code
// as the nats-server program, with JetStream on a file store; a production shop runs three of them as a cluster.
package natsd

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds how long a server may take until it accepts connections.
const startTimeout = 10 * time.Second

// Server is a running NATS server on a loopback address.
type Server struct{ s *server.Server }

// Start starts a server that keeps its streams in the folder dir and listens on a free loopback port. Stop it.
func Start(dir string) (*Server, error) { return StartAt(dir, server.RANDOM_PORT) }

// StartAt is [Start] on a port of the caller's choice.
func StartAt(dir string, port int) (*Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "shop",
		Host:       "127.0.0.1",
		Port:       port,
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

// Stop stops the server and waits until it has stopped. Stopping twice is harmless.
func (s *Server) Stop() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
}
