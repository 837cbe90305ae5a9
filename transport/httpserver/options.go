package httpserver

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/auth"
)

const (
	defaultAddr              = ":8080"
	defaultMaxBody           = 1 << 20
	defaultMaxHeaderBytes    = 128 << 10
	defaultMaxConns          = 10_000 // some 200 MB of buffers and stacks
	defaultReadHeaderTimeout = 10 * time.Second
	defaultReadTimeout       = 30 * time.Second
	defaultTimeout           = 50 * time.Second
	defaultWriteTimeout      = 60 * time.Second
	defaultIdleTimeout       = 120 * time.Second // above the 60s of common balancers: the client side closes first
	defaultDrainTimeout      = 25 * time.Second  // Kubernetes kills after 30

	// http2Ping is how long an HTTP/2 connection may be silent before it is asked whether the other side lives, and how
	// long that may take to answer.
	http2Ping = 15 * time.Second
)

// Options of a [Server].
type Options struct {
	// Addr to listen on. Empty means ":8080"; port 0 means any free port, which [Server.Addr] tells. "unix:" and a path
	// mean a unix socket: a socket that nobody listens on any longer is replaced.
	Addr string
	// TLS makes the server speak TLS, with HTTP/2. It needs a certificate, or a function that gets one, such as that of
	// a mtls.Files, which follows its files. Nil means cleartext.
	TLS *tls.Config
	// Protocols says which versions of HTTP the server speaks. Nil means HTTP/1.1, and over TLS HTTP/2. Cleartext HTTP/2
	// (h2c, by prior knowledge) needs UnencryptedHTTP2 set here.
	Protocols *http.Protocols
	// MaxConns bounds the connections that are open at a time, those that handlers took over among them. One too many
	// is not refused: the system holds it until another one ends, and refuses it only when its own queue (listen(2))
	// is full, too. Idle ones count until IdleTimeout. Zero means 10,000; negative means no limit.
	MaxConns int

	// Verifier checks the bearer token of every request that has one; see [Authenticate] for who passes without.
	// Nil needs Unauthenticated.
	Verifier auth.Verifier
	// Unauthenticated lets everybody do everything: endpoints ask for no caller and no scope. It excludes Verifier.
	// False means that requests are authenticated: without a Verifier, Run fails.
	Unauthenticated bool
	// Public names requests that need no token, for routers that are no http.ServeMux; see [AuthOptions]. Nil means
	// no others than the mux's own public handlers.
	Public func(*http.Request) bool

	// BeforeAuth puts layers between observing and authentication; the handler that it gets is the rest of the server. It
	// is for what must answer requests without a token, or add to refusals, such as CORS: see "The order of layers" in
	// the package comment. A layer that changes a request's path belongs inside of the handler. Nil means none.
	BeforeAuth func(http.Handler) http.Handler

	// MaxBody bounds a request's body in bytes: reading on is an *http.MaxBytesError, which httpapi answers with 413.
	// An endpoint's own limit replaces it. Zero means 1 MiB; negative means no limit.
	MaxBody int64
	// MaxHeaderBytes bounds a request's header, roughly. Zero means 128 KiB; negative means net/http's 1 MiB.
	MaxHeaderBytes int
	// ReadHeaderTimeout bounds reading a request's header. Zero means 10s; negative means none, and one goroutine a
	// connection for whoever sends a byte a second.
	ReadHeaderTimeout time.Duration
	// ReadTimeout bounds reading a whole request. A handler moves it by http.ResponseController.SetReadDeadline. Zero
	// means 30s; negative means none.
	ReadTimeout time.Duration
	// Timeout bounds a handler until its answer is on its way (flushed, or longer than 8 KiB) or its connection taken over:
	// the request's context ends then, with a cause that matches context.DeadlineExceeded, and if the handler returns
	// without an answer, the server sends 504. Nothing is held back for that, and no handler is abandoned, as with
	// http.TimeoutHandler. The context shows no deadline, since a stream lifts it. A caller that sends
	// transport.HeaderRequestTimeout gets a deadline of that time, or of Timeout where that is shorter, streams included.
	// Zero means 50s, so that the 504 is sent before WriteTimeout; negative means none but the caller's.
	Timeout time.Duration
	// WriteTimeout bounds the time from the end of a request's header until its answer is on its way, and from then on
	// the time that the caller takes for each piece of at most 256 KiB: a stream may be silent and a download long, a
	// reader that has stalled is cut off. The connection breaks, and over HTTP/2 the stream. A handler that sets a
	// deadline by http.ResponseController.SetWriteDeadline has that one instead. Zero means 60s; negative means none.
	WriteTimeout time.Duration
	// IdleTimeout bounds the wait for the next request on a connection. Zero means 120s; negative means none.
	IdleTimeout time.Duration
	// DrainTimeout bounds the wait for running requests after the context of Run has ended. Zero means 25s; negative
	// means none: they are cut off at once.
	DrainTimeout time.Duration

	// Unobserved leaves out correlation, span, metrics and access log; recovery stays. It is for a private port whose
	// traffic is probes and scrapes. False means that every request is observed.
	Unobserved bool
	// Logger gets the access log, and what net/http has to say. Nil means slog.Default().
	Logger *slog.Logger
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator reads the caller's trace. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
	// Trust, Proxies, Route, Quiet and LogEvery are those of [ObserveOptions]. Nil and zero mean that everybody's
	// correlation ID and trace are continued, that the client is whoever is connected, that routes come from the mux and
	// its endpoints, and that every request has a span and an access log line; negative LogEvery means lines for requests
	// that fail alone.
	Trust    func(*http.Request) bool
	Proxies  *Proxies
	Route    func(*http.Request) string
	Quiet    func(*http.Request) bool
	LogEvery int
}

// orDefault returns def for zero, and zero, which is off to net/http, for a negative v.
func orDefault[N int | time.Duration](v, def N) N {
	if v == 0 {
		return def
	}
	return max(v, 0)
}

func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = defaultAddr
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.MaxConns = orDefault(o.MaxConns, defaultMaxConns)
	o.MaxHeaderBytes = orDefault(o.MaxHeaderBytes, defaultMaxHeaderBytes)
	o.ReadHeaderTimeout = orDefault(o.ReadHeaderTimeout, defaultReadHeaderTimeout)
	o.ReadTimeout = orDefault(o.ReadTimeout, defaultReadTimeout)
	o.Timeout = orDefault(o.Timeout, defaultTimeout)
	o.WriteTimeout = orDefault(o.WriteTimeout, defaultWriteTimeout)
	o.IdleTimeout = orDefault(o.IdleTimeout, defaultIdleTimeout)
	o.DrainTimeout = orDefault(o.DrainTimeout, defaultDrainTimeout)
	return o
}

func (o Options) observe() ObserveOptions {
	return ObserveOptions{
		Logger: o.Logger, TracerProvider: o.TracerProvider, Propagator: o.Propagator, Registerer: o.Registerer,
		Trust: o.Trust, Proxies: o.Proxies, Route: o.Route, Quiet: o.Quiet, LogEvery: o.LogEvery,
	}
}
