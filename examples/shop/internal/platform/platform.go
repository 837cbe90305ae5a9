// Package platform is what the shop's services have in common: flags, logs, traces, metrics, health, identity, and
// servers and clients that have all of it. A team writes such a package once, for its own conventions; the kit's
// packages do not need it. Copy it, and throw out what you do not want.
package platform

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/examples/shop/internal/natsd"
	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/admin"
	"github.com/mainstay-go/mainstay/transport/health"
)

// Options say what a command line cannot. The zero value is a service in production.
type Options struct {
	// Logs gets the log. Nil means os.Stderr.
	Logs io.Writer
	// Exporter gets finished spans, in place of what Config says. Nil means that.
	Exporter sdktrace.SpanExporter
	// FlushTimeout bounds how long the last spans may take to leave when the service stops. Zero means 5s.
	FlushTimeout time.Duration
	// WrapBroker puts something around the broker, such as faults. Nil means nothing.
	WrapBroker func(driver.Broker) driver.Broker
	// Flags adds flags of the program's own. Nil means none.
	Flags func(*flag.FlagSet)
}

// Platform is one service's share. Make it with [New], and close it when what [Platform.Wire] returned has ended.
type Platform struct {
	Config
	Logger   *slog.Logger         // every line has the service's name, and the IDs of its context
	Registry *prometheus.Registry // what /metrics shows
	Tracing  *tracing.Provider    // makes the spans
	Tokens   auth.TokenSource     // the service's identity
	Verifier auth.Verifier        // accepts tokens that are made for this service

	trusted    []netip.Prefix // of the edge
	level      *slog.LevelVar
	levels     logging.Levels
	wrapBroker func(driver.Broker) driver.Broker
	nats       *nats.Conn            // set by Connect
	natsErr    atomic.Pointer[error] // why it is not connected, nil where that is not known
	health     *health.Checks
	started    chan struct{} // closed once every runner is ready
	closers    []func() error
}

// Wire builds a service on its platform and returns what runs, in start order.
type Wire func(ctx context.Context, p *Platform) ([]mainstay.Runner, error)

// New returns the platform of the service that c names.
func New(ctx context.Context, c Config, o *Options) (*Platform, error) {
	if o == nil {
		o = &Options{}
	}
	p := &Platform{Config: c, level: &slog.LevelVar{}, wrapBroker: o.WrapBroker, started: make(chan struct{})}
	p.Logger = newLogger(o.Logs, c, p.level, &p.levels)
	p.Registry = prometheus.NewRegistry()
	if err := metrics.RegisterRuntime(p.Registry); err != nil {
		return nil, err
	}
	var err error
	if p.trusted, err = prefixes(c.Trust); err != nil {
		return nil, err
	}
	if err := p.identify(); err != nil {
		return nil, err
	}
	if err := p.trace(ctx, o); err != nil {
		return nil, err
	}
	p.health = health.New(&health.Options{Logger: p.Logger})
	p.health.Add(health.Check{Name: "started", Check: p.checkStarted, Startup: true})
	return p, nil
}

func newLogger(w io.Writer, c Config, level slog.Leveler, levels *logging.Levels) *slog.Logger {
	if w == nil {
		w = os.Stderr
	}
	format := logging.JSON
	if c.LogFormat == "text" {
		format = logging.Text
	}
	return logging.New(w, &logging.Options{
		Format: format, Level: level, Levels: levels, Attrs: []func(context.Context) []slog.Attr{auth.LogAttrs, messageAttrs},
	}).With("service", c.Name)
}

// messageAttrs says which message is being handled, and which one caused it: its handler published this one.
func messageAttrs(ctx context.Context) []slog.Attr {
	m := pubsub.MessageFrom(ctx)
	if m == nil {
		return nil
	}
	attrs := []slog.Attr{slog.String("message_id", m.ID)}
	if m.CausationID != "" {
		attrs = append(attrs, slog.String("caused_by", m.CausationID))
	}
	return attrs
}

// Wire wires the service and returns all that runs: what observes first, since it has to outlive the rest, and what
// takes requests last.
func (p *Platform) Wire(ctx context.Context, wire Wire) ([]mainstay.Runner, error) {
	service, err := wire(ctx, p)
	if err != nil {
		return nil, err
	}
	pages := admin.New(&admin.Options{
		Addr: p.Admin, Gatherer: p.Registry, Health: p.health, Level: p.level, Levels: &p.levels,
		Logger: p.Logger,
	})
	runners := append([]mainstay.Runner{p.Tracing, pages, p.health}, service...)
	return append(runners, mainstay.Once(p.start)), nil
}

// check makes readiness depend on f.
func (p *Platform) check(name string, f func(context.Context) error) {
	p.health.Add(health.Check{Name: name, Check: f})
}

// start says that every runner is ready: readiness is true from now on, as far as the other checks allow.
func (p *Platform) start(context.Context) error {
	close(p.started)
	return nil
}

func (p *Platform) checkStarted(context.Context) error {
	select {
	case <-p.started:
		return nil
	default:
		return errors.New("still starting")
	}
}

// Close closes what the service has opened, the last first.
func (p *Platform) Close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	p.closers = nil
	return errors.Join(errs...)
}

func (p *Platform) onClose(f func() error) { p.closers = append(p.closers, f) }

// standAlone gives the service a broker and a database of its own where it was told of none.
func (c Config) standAlone() (_ Config, cleanUp func() error, err error) {
	if c.Broker != "" && c.DB != "" {
		return c, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "mainstay-"+c.Name+"-")
	if err != nil {
		return c, nil, err
	}
	cleanUp = func() error { return os.RemoveAll(dir) }
	if c.DB == "" {
		c.DB = "sqlite:" + filepath.Join(dir, c.Name+".db")
	}
	if c.Broker == "" {
		server, err := natsd.Start(filepath.Join(dir, "nats"))
		if err != nil {
			return c, nil, errors.Join(err, cleanUp())
		}
		c.Broker = server.URL()
		cleanUp = func() error { server.Stop(); return os.RemoveAll(dir) }
	}
	return c, cleanUp, nil
}

// Main is the whole main function of a service: it reads the flags, runs the service until ctx ends or a signal comes,
// and returns the exit status: 0 for a clean end, 1 for an error, 2 for a command line that is wrong.
func Main(ctx context.Context, name string, args []string, wire Wire, o *Options) int {
	if o == nil {
		o = &Options{}
	}
	c := Config{Name: name}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	c.Flags(fs)
	if o.Flags != nil {
		o.Flags(fs)
	}
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: unexpected argument %q: only flags are taken\n", name, fs.Arg(0))
		return 2
	}
	if err := run(ctx, c, wire, o); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// run runs one service.
func run(ctx context.Context, c Config, wire Wire, o *Options) (err error) {
	c, cleanUp, err := c.standAlone()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	p, err := New(ctx, c, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	runners, err := p.Wire(ctx, wire)
	if err != nil {
		return err
	}
	return mainstay.Run(ctx, &mainstay.Options{Logger: p.Logger}, runners...)
}
