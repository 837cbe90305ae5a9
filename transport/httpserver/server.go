package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// Server is a Runner: it serves from Run on until Run's context ends. Its methods are safe for concurrent use.
type Server struct {
	opts    Options
	handler http.Handler
	err     error // what was wrong with the options

	running  atomic.Bool
	load     load
	leaving  atomic.Bool   // Drain was called
	ready    chan struct{} // closed when listening
	draining chan struct{} // closed when the listener is
	addr     net.Addr      // set before ready is closed
}

// New returns a server of h. Nil options are defaults, which need a Verifier: what is wrong with them is the error of
// Run, before it listens.
func New(h http.Handler, o *Options) *Server {
	if o == nil {
		o = &Options{}
	}
	s := &Server{opts: o.withDefaults(), ready: make(chan struct{}), draining: make(chan struct{})}
	s.handler, s.err = s.wrap(h)
	return s
}

func (s *Server) wrap(h http.Handler) (http.Handler, error) {
	switch {
	case h == nil:
		return nil, errors.New("no handler")
	case s.opts.Verifier == nil && !s.opts.Unauthenticated:
		return nil, errors.New("no Verifier, and the options do not say Unauthenticated")
	case s.opts.Verifier != nil && s.opts.Unauthenticated:
		return nil, errors.New("both a Verifier and Unauthenticated")
	}
	obs := newRecoverer(s.opts.Logger)
	if !s.opts.Unobserved {
		var err error
		if obs, err = newObserver(s.opts.observe()); err != nil {
			return nil, err
		}
	}
	if s.opts.Verifier != nil {
		obs.auth = &authenticator{verifier: s.opts.Verifier, public: s.opts.Public}
	}
	obs.open = s.opts.Unauthenticated
	obs.maxBody = s.opts.MaxBody
	obs.server = &serving{load: &s.load, timeout: s.opts.Timeout, write: s.opts.WriteTimeout, router: h}
	if s.opts.BeforeAuth != nil {
		if obs.auth != nil {
			h = layer{h, obs.auth.serve}
			obs.auth = nil
		}
		h = s.opts.BeforeAuth(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			// The client's next request finds its way to another replica, before this connection is cut. Over HTTP/2 the
			// header is not sent: net/http turns it into a GOAWAY, which lets the streams that are open end.
			w.Header().Set("Connection", "close")
		}
		obs.serve(w, r, h)
	}), nil
}

// Run listens and serves until ctx ends, then drains: it closes the listener, closes the channel of [Draining], and
// waits up to DrainTimeout for the requests that run, streams and HTTP/2 among them, and for the connections that
// handlers took over. Connections that have not brought a request within a second are closed. What is left at the end
// has its context cancelled and its connection closed, and Run returns a [*DrainError] that counts it. Otherwise the end
// of ctx is no error.
//
// The contexts of requests have the values of ctx. A handler that ignores its cancelled context cannot be ended: Run
// gives it a last quarter of a second and leaves it behind. A ctx that has ended already is a clean end without
// listening. Run or Serve can be called once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("httpserver: %s: %w", s.opts.Addr, err)
	}
	return nil
}

// Serve is Run on a listener of the caller's: one that a supervisor opened, one in memory, a unix socket with a mode of
// its own. It closes ln also where it does not get to serve; to keep a socket open from one server to the next, give
// each a listener whose Close does not close the socket. With TLS in the options ln is the plain listener.
//
// A connection that a handler takes over has all methods of the one that ln accepted, if that is of package net, and
// those of net.Conn else; NetConn() returns the accepted one.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := s.serveGiven(ctx, ln); err != nil {
		return fmt.Errorf("httpserver: %s: %w", ln.Addr(), err)
	}
	return nil
}

func (s *Server) run(ctx context.Context) error {
	if err := s.start(); err != nil || ctx.Err() != nil {
		return err
	}
	ln, err := listen(ctx, s.opts.Addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return s.serveOn(ctx, ln)
}

func (s *Server) serveGiven(ctx context.Context, ln net.Listener) error {
	if err := s.start(); err != nil || ctx.Err() != nil {
		return errors.Join(err, ln.Close())
	}
	return s.serveOn(ctx, ln)
}

// start notes that the server runs, and returns what was wrong before.
func (s *Server) start() error {
	if s.running.Swap(true) {
		return errors.New("it ran already")
	}
	return s.err
}

// serveOn serves ln, and closes it.
func (s *Server) serveOn(ctx context.Context, ln net.Listener) error {
	base, cancel := context.WithCancelCause(reqstate.WithDraining(context.WithoutCancel(ctx), s.draining))
	defer cancel(errCutOff)
	srv := s.httpServer(base)
	open := watch(ln, s.opts.MaxConns)
	var serveErr error
	served := make(chan struct{}) // closed when serveErr is set
	go func() {
		defer close(served)
		serveErr = s.serve(srv, open)
	}()
	s.addr = ln.Addr()
	close(s.ready)
	select {
	case <-served:
		return errors.Join(serveErr, srv.Close())
	case <-ctx.Done():
	}
	// The listener goes first and net/http is told later: once it knows, it drops requests that it is about to read.
	s.leaving.Store(true)
	err := open.Close()
	<-served // with an error that says so; all that was accepted has been handed over
	close(s.draining)
	return errors.Join(s.drain(ctx, srv, open, cancel), err)
}

func (s *Server) httpServer(base context.Context) *http.Server {
	srv := &http.Server{
		Handler:           s.handler,
		TLSConfig:         s.opts.TLS,
		ReadTimeout:       s.opts.ReadTimeout,
		ReadHeaderTimeout: s.opts.ReadHeaderTimeout,
		WriteTimeout:      s.opts.WriteTimeout,
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    s.opts.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnState:         noteState,
		Protocols:         s.opts.Protocols,
		HTTP2: &http.HTTP2Config{
			// A stream is bounded by WriteTimeout, a connection whose other side is gone by these.
			SendPingTimeout: http2Ping, PingTimeout: http2Ping, WriteByteTimeout: s.opts.WriteTimeout,
		},
	}
	if s.opts.ReadHeaderTimeout == 0 {
		srv.ReadHeaderTimeout = -1 // zero would mean ReadTimeout
	}
	if s.opts.IdleTimeout == 0 {
		srv.IdleTimeout = -1 // as above
	}
	return srv
}

func (s *Server) serve(srv *http.Server, ln net.Listener) error {
	if s.opts.TLS != nil {
		return srv.ServeTLS(ln, "", "")
	}
	return srv.Serve(ln)
}

// Ready returns a channel that is closed when the server listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Drain says that the end is near: from now on each answer ends its connection, an HTTP/2 one once its open streams have
// ended, so that clients come back to another replica. The server goes on to accept and serve until the context of Run ends. It returns at once and may
// be called any number of times.
func (s *Server) Drain() { s.leaving.Store(true) }

// Addr returns the address that the server listens on, such as "127.0.0.1:43210", or the path of its unix socket. It is "" until Ready.
func (s *Server) Addr() string {
	select {
	case <-s.ready:
		return s.addr.String()
	default:
		return ""
	}
}

// String names the server in errors.
func (s *Server) String() string { return "http " + s.opts.Addr }
