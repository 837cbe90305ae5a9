// Package admin serves the private port of a process: what operators and machines ask of it, and strangers must not.
//
//	GET  /               what there is
//	GET  /metrics        the metrics, for Prometheus
//	GET  /livez          200 while the process answers
//	GET  /startupz       200 once it has started, else 503
//	GET  /readyz         200 while it should get traffic, else 503, with the checks by name
//	GET  /log/level      the log level; PUT with a level as the body ("debug", "INFO", "WARN+2") changes it
//	GET  /buildinfo      module versions and build settings, as JSON
//	GET  /debug/runtime  goroutines, memory and garbage collection, as JSON
//	GET  /debug/pprof/   the profiles of runtime/pprof, for go tool pprof
//
// With Options.Levels, /log/level lists the loggers that have a level of their own, and ?logger=NAME asks for the level
// of one, changes it (PUT) or takes it away (DELETE).
//
// Nothing here asks who is calling, and a profile shows memory: the default address is a loopback one. Where the
// orchestrator's probes and scrapes come from another host, listen on ":9090" and keep the port inside the cluster.
//
// Importing the package registers nothing anywhere: it does not use net/http/pprof, which adds itself to
// http.DefaultServeMux.
package admin

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/health"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

const (
	defaultAddr         = "127.0.0.1:9090"
	defaultDrainTimeout = 5 * time.Second
)

// Options of a [Server].
type Options struct {
	// Addr to listen on. Empty means "127.0.0.1:9090"; port 0 means any free port, which [Server.Addr] tells.
	Addr string
	// Gatherer is what /metrics shows. Nil means prometheus.DefaultGatherer.
	Gatherer prometheus.Gatherer
	// Health is what /livez, /startupz and /readyz show. Nil means a process that is ready until it drains.
	Health *health.Checks
	// Level is what /log/level shows and changes. Nil means that the page knows levels by name alone, and where Levels is
	// nil too that there is no such page.
	Level *slog.LevelVar
	// Levels are those of loggers by name, that of logging.Options. Nil means that the page knows none by name.
	Levels *logging.Levels
	// Pages are further pages by the path that they are under, which begins and ends with a slash; they see their
	// requests without it ("/x" under "/debug/channelz/" is "/x" to them). New panics where the path is one of the pages
	// above. Nil means none.
	Pages map[string]http.Handler
	// DrainTimeout bounds the wait for running requests at the end. Zero means 5s; negative means none.
	DrainTimeout time.Duration
	// Logger gets what net/http has to say, panics, and changes of the level; there is no access log. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Server is the private port, a Runner. Put it first among the runners: then it ends last, and shows the drain.
type Server struct {
	http   *httpserver.Server
	health *health.Checks
}

// New returns a server. Nil options are defaults.
func New(o *Options) *Server {
	if o == nil {
		o = &Options{}
	}
	opts := *o
	if opts.Addr == "" {
		opts.Addr = defaultAddr
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Health == nil {
		opts.Health = health.New(&health.Options{Logger: opts.Logger})
	}
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = defaultDrainTimeout
	}
	return &Server{
		health: opts.Health,
		http: httpserver.New(newMux(opts), &httpserver.Options{
			Addr:            opts.Addr,
			Unauthenticated: true,
			Unobserved:      true,
			DrainTimeout:    opts.DrainTimeout,
			Timeout:         -1, // a profile takes as long as it is asked to, which is bounded
			Logger:          opts.Logger,
		}),
	}
}

func newMux(o Options) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", index(slices.Sorted(maps.Keys(o.Pages))))
	mux.Handle("GET /metrics", metrics.Handler(o.Gatherer))
	mux.Handle("GET /livez", o.Health.Liveness())
	mux.Handle("GET /startupz", o.Health.Startup())
	mux.Handle("GET /readyz", o.Health.Details())
	mux.HandleFunc("GET /buildinfo", buildInfo)
	mux.HandleFunc("GET /debug/runtime", runtimeFigures)
	mux.HandleFunc("GET /debug/pprof/{$}", profileIndex)
	mux.HandleFunc("GET /debug/pprof/{name}", profile)
	mux.HandleFunc("GET /debug/pprof/profile", cpuProfile)
	mux.HandleFunc("GET /debug/pprof/trace", executionTrace)
	for path, page := range o.Pages {
		mux.Handle(path, http.StripPrefix(strings.TrimSuffix(path, "/"), page))
	}
	if o.Level != nil || o.Levels != nil {
		l := levels{o.Level, o.Levels, o.Logger}
		mux.HandleFunc("GET /log/level", l.get)
		mux.HandleFunc("PUT /log/level", l.put)
		mux.HandleFunc("DELETE /log/level", l.remove)
	}
	return mux
}

// Run serves until ctx ends; see [httpserver.Server.Run].
func (s *Server) Run(ctx context.Context) error { return s.http.Run(ctx) }

// Ready returns a channel that is closed when the server listens.
func (s *Server) Ready() <-chan struct{} { return s.http.Ready() }

// Drain makes /readyz 503 for good. The server goes on until the context of Run ends.
func (s *Server) Drain() { s.health.Drain() }

// Addr returns the address that the server listens on, "" until Ready.
func (s *Server) Addr() string { return s.http.Addr() }

// String names the server in errors.
func (s *Server) String() string { return "admin " + s.http.String() }
