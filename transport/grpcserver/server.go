package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Server is a Runner, and a grpc.ServiceRegistrar: register services, then Run. Its methods are safe for concurrent
// use, but for RegisterService.
type Server struct {
	opts   Options
	obs    *observer
	auth   *authenticator // nil checks nobody
	before Interceptor    // outside of auth; its halves are nil for none
	health *grpchealth.Server
	checks *readiness // nil where nobody is asked
	err    error      // what was wrong with the options or the services

	services map[string]service // by name
	names    map[string]bool    // what a rule may name: services and full methods
	streams  map[string]*method // by full name
	grpc     *grpc.Server       // made by Run, since it has goroutines
	running  atomic.Bool
	active   atomic.Int64  // observed calls
	ready    chan struct{} // closed when listening
	draining chan struct{} // closed when the drain begins
	addr     net.Addr      // set before ready is closed
}

// New returns a server with the health service and no other. Nil options are defaults, which need a Verifier: what is
// wrong with them is the error of Run, before it listens.
func New(o *Options) *Server {
	if o == nil {
		o = &Options{}
	}
	s := &Server{
		opts: o.withDefaults(), health: grpchealth.NewServer(),
		services: map[string]service{}, names: map[string]bool{}, streams: map[string]*method{},
		ready: make(chan struct{}), draining: make(chan struct{}),
	}
	s.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	s.obs, s.err = s.newObserver()
	if o.Health != nil {
		s.checks = &readiness{checks: o.Health, needs: o.ServiceChecks, services: s.services, into: s.health}
	}
	s.services[healthpb.Health_ServiceDesc.ServiceName] = service{
		&healthpb.Health_ServiceDesc, healthService{Server: s.health, draining: s.draining, readiness: s.checks},
	}
	return s
}

func (s *Server) newObserver() (*observer, error) {
	switch {
	case s.opts.Verifier == nil && !s.opts.Unauthenticated:
		return nil, errors.New("no Verifier, and the options do not say Unauthenticated")
	case s.opts.Verifier != nil && s.opts.Unauthenticated:
		return nil, errors.New("both a Verifier and Unauthenticated")
	}
	obs, err := newObserver(s.opts.observe())
	if err != nil {
		return nil, err
	}
	if s.opts.Verifier != nil {
		s.auth = &authenticator{verifier: s.opts.Verifier}
	}
	for _, i := range slices.Concat(s.opts.BeforeAuth, s.opts.Interceptors) {
		if i.Unary == nil || i.Stream == nil {
			return nil, errors.New("an Interceptor for one kind of calls only")
		}
	}
	s.before = chain(s.opts.BeforeAuth)
	obs.validates = !s.opts.Unvalidated
	obs.timeout, obs.streamTimeout = s.opts.Timeout, s.opts.StreamTimeout
	return obs, nil
}

// Run listens and serves until ctx ends, then drains: it turns health to NOT_SERVING, closes the channel of [Draining],
// closes the listener, and waits up to DrainTimeout for the calls that run. What is left then has its context cancelled
// and its connection closed, and Run returns an error that says how many there were and matches
// context.DeadlineExceeded. Otherwise the end of ctx is no error.
//
// Run returns after the last handler has, so that nothing which handlers use is closed under them. A handler that
// ignores its cancelled context holds it up: mainstay.Run goes on without it at the end of its own time. A ctx that has
// ended already is a clean end without listening. Run can be called once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("grpcserver: %s: %w", s.opts.Addr, err)
	}
	return nil
}

// Serve is Run on a listener of the caller's: a unix socket, one that a supervisor opened, one in memory. It closes ln
// also where it does not get to serve.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := s.serve(ctx, ln); err != nil {
		return fmt.Errorf("grpcserver: %s: %w", ln.Addr(), err)
	}
	return nil
}

func (s *Server) run(ctx context.Context) error {
	if err := s.start(); err != nil || ctx.Err() != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.opts.Addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return s.serveOn(ctx, ln)
}

func (s *Server) serve(ctx context.Context, ln net.Listener) error {
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
	if s.err != nil {
		return s.err
	}
	for name := range s.opts.Rules {
		if !s.names[name] {
			return fmt.Errorf("a rule for %q, which is not registered", name)
		}
	}
	return s.knowsChecks()
}

// knowsChecks returns what is wrong with ServiceChecks: a name that nobody has would never be SERVING.
func (s *Server) knowsChecks() error {
	if s.opts.Health == nil {
		if len(s.opts.ServiceChecks) > 0 {
			return errors.New("ServiceChecks without Health")
		}
		return nil
	}
	there := s.opts.Health.Names()
	for name, needs := range s.opts.ServiceChecks {
		if _, ok := s.services[name]; !ok {
			return fmt.Errorf("checks for service %q, which is not registered", name)
		}
		for _, check := range needs {
			if !slices.Contains(there, check) {
				return fmt.Errorf("service %q needs check %q, which is not there", name, check)
			}
		}
	}
	return nil
}

// build makes the library's server, which panics over options that contradict each other.
func (s *Server) build() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("ServerOptions: %v", v)
		}
	}()
	s.grpc = grpc.NewServer(s.opts.grpc(s.outermost)...)
	return nil
}

// serveOn serves ln, and closes it.
func (s *Server) serveOn(ctx context.Context, ln net.Listener) error {
	if err := s.build(); err != nil {
		return errors.Join(err, ln.Close())
	}
	for _, one := range s.services {
		s.grpc.RegisterService(one.desc, one.impl)
	}
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(ln) }()
	s.addr = ln.Addr()
	if s.checks == nil {
		s.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
		for name := range s.services {
			s.health.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
		}
	}
	stop := s.poll(ctx)
	defer stop()
	close(s.ready)
	select {
	case err := <-served:
		s.health.Shutdown()
		s.grpc.Stop()
		return err
	case <-ctx.Done():
	}
	return errors.Join(s.drain(), <-served)
}

// poll has the checks asked for those who watch, until stop is called, which waits for the last of it.
func (s *Server) poll(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var polling sync.WaitGroup
	polling.Go(func() { s.checks.poll(ctx) })
	return func() {
		cancel()
		polling.Wait()
	}
}

// Ready returns a channel that is closed when the server listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Drain says that the end is near: health is NOT_SERVING from now on, whatever anybody sets later. The server goes on
// to accept and serve until the context of Run ends. It returns at once and may be called any number of times.
func (s *Server) Drain() { s.health.Shutdown() }

// Health returns the library's health server, to set the status of single services as they come and go. The server
// itself sets all of its services to SERVING when it is ready, and to NOT_SERVING for good when it drains. With
// Options.Health it sets them whenever somebody asks: what was set here does not last.
func (s *Server) Health() *grpchealth.Server { return s.health }

// Addr returns the address that the server listens on, such as "127.0.0.1:43210". It is "" until Ready.
func (s *Server) Addr() string {
	select {
	case <-s.ready:
		return s.addr.String()
	default:
		return ""
	}
}

// String names the server in errors.
func (s *Server) String() string { return "grpc " + s.opts.Addr }
