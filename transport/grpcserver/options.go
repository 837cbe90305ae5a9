package grpcserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport/health"
)

const (
	defaultAddr             = ":9090"
	defaultMaxReceiveBytes  = 4 << 20 // the library's own, said aloud
	defaultMaxHeaderBytes   = 128 << 10
	defaultMaxStreams       = 1000
	defaultTimeout          = 60 * time.Second
	defaultKeepalive        = time.Minute
	defaultMaxConnectionAge = 30 * time.Minute
	defaultDrainTimeout     = 25 * time.Second // Kubernetes kills after 30

	// keepaliveTimeout is how long a ping may stay without an answer.
	keepaliveTimeout = 20 * time.Second
	// minPing is how often clients may ping. More often is abuse, and ends the connection.
	minPing = 10 * time.Second
	// streamWorkers are goroutines that wait for calls: their stacks have grown by earlier ones, which is a fifth of the
	// time of a small call. Calls beyond have a goroutine of their own.
	streamWorkers = 32
	// handshakeTimeout bounds a connection until it speaks HTTP/2, TLS included.
	handshakeTimeout = 10 * time.Second
)

// Options of a [Server].
type Options struct {
	// Addr to listen on. Empty means ":9090"; port 0 means any free port, which [Server.Addr] tells.
	Addr string
	// TLS makes the server speak TLS. It needs a certificate, or a function that gets one. Nil means cleartext.
	TLS *tls.Config

	// Verifier checks the bearer token of every call; see [Authenticate] for who passes. Nil needs Unauthenticated.
	Verifier auth.Verifier
	// Unauthenticated lets everybody do everything: Rules are not applied. It excludes Verifier. False means that
	// calls are authenticated: without a Verifier, Run fails.
	Unauthenticated bool
	// Rules say who may call what, by full method name ("/package.Service/Method": the constants of the generated code)
	// or for a whole service by its name ("package.Service"); the method's own rule wins. What has none is for
	// verified services only. A rule for what is not registered is an error of Run. Nil means no rules.
	Rules map[string]Rule

	// Health says whether the server's services should get calls: the health service then is SERVING while its checks
	// pass, as its readiness over HTTP is 200. They are asked when a caller of the health service asks, and every 5s
	// while one watches. Nil means SERVING as long as the server runs and does not drain.
	Health *health.Checks
	// ServiceChecks name the checks of Health that a service needs, by the service's name: it is SERVING while those
	// pass. A service that has none here needs all of them, as does the server as a whole (""). The name of a service
	// that is not registered, or of a check that is not there when Run begins, is an error of Run. Nil means that all
	// need all.
	ServiceChecks map[string][]string

	// Unvalidated leaves messages alone. False means that those which have a method Validate() error are asked whether
	// they are valid before a handler gets them; see [Validate].
	Unvalidated bool
	// MaxReceiveBytes bounds a message that comes in: a larger one is ResourceExhausted. Zero means 4 MiB; negative
	// means no limit.
	MaxReceiveBytes int
	// MaxHeaderBytes bounds the metadata of a call. Zero means 128 KiB; negative means the library's 16 MiB.
	MaxHeaderBytes int
	// MaxStreams bounds the calls that run on one connection: a client's further calls wait. Zero means 1000; negative
	// means no limit.
	MaxStreams int
	// Timeout bounds a unary call whose caller gives it more time, or all of it: its context ends then. Zero means
	// 60s; negative means none.
	Timeout time.Duration
	// StreamTimeout is the same for streaming calls, all their messages together. Zero or negative means none.
	StreamTimeout time.Duration
	// Keepalive is how long a connection may be silent before the server asks whether the other side lives; without an
	// answer within 20s the connection ends. Zero means 1m; negative means never.
	Keepalive time.Duration
	// MaxConnectionAge is when a client is asked to connect anew, give or take a tenth: behind a name with several
	// addresses a client would otherwise never learn of new replicas. Calls that run are not cut. Zero means 30m;
	// negative means never.
	MaxConnectionAge time.Duration
	// DrainTimeout bounds the wait for running calls after the context of Run has ended. Zero means 25s; negative means
	// none: they are cut off at once.
	DrainTimeout time.Duration

	// BeforeAuth are layers between observing and authentication, the first outermost: [Shed], and [RateLimit] by
	// address. What they refuse is observed, and costs no look at a token. The request of a unary call is not read yet:
	// they get nil for it. Nil means none.
	BeforeAuth []Interceptor
	// Interceptors are layers behind authentication, the first outermost: [RateLimit] by caller, and yours. Nil means
	// none.
	Interceptors []Interceptor
	// ServerOptions go to grpc.NewServer before those that this struct has fields for, which win. Interceptors given
	// here, too, run inside of the observed pass, behind authentication; those of streams by
	// grpc.ChainStreamInterceptor, since grpc.StreamInterceptor has the pass: a second one is an error of Run. Nil
	// means none.
	ServerOptions []grpc.ServerOption

	// Logger gets the access log. Nil means slog.Default().
	Logger *slog.Logger
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator reads the caller's trace. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
	// Trust reports whose correlation ID and trace are continued, and who may ask for a trace to be kept. Nil means
	// everybody's, as kept or not as they say, and nobody; see [ObserveOptions].
	Trust func(context.Context) bool
	// LogEvery thins the access log out; see [ObserveOptions]. Zero means every call; negative means none but those that
	// fail.
	LogEvery int
}

// orDefault returns def for zero and off for a negative v.
func orDefault[N int | time.Duration](v, def, off N) N {
	switch {
	case v == 0:
		return def
	case v < 0:
		return off
	}
	return v
}

func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = defaultAddr
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.MaxReceiveBytes = orDefault(o.MaxReceiveBytes, defaultMaxReceiveBytes, math.MaxInt32)
	o.MaxHeaderBytes = orDefault(o.MaxHeaderBytes, defaultMaxHeaderBytes, 0)
	o.MaxStreams = min(orDefault(o.MaxStreams, defaultMaxStreams, math.MaxInt32), math.MaxInt32)
	o.Timeout = orDefault(o.Timeout, defaultTimeout, 0)
	o.Keepalive = orDefault(o.Keepalive, defaultKeepalive, math.MaxInt64)
	o.MaxConnectionAge = orDefault(o.MaxConnectionAge, defaultMaxConnectionAge, math.MaxInt64)
	o.DrainTimeout = orDefault(o.DrainTimeout, defaultDrainTimeout, 0)
	return o
}

func (o Options) observe() ObserveOptions {
	return ObserveOptions{
		Logger: o.Logger, TracerProvider: o.TracerProvider, Propagator: o.Propagator, Registerer: o.Registerer,
		Trust: o.Trust, LogEvery: o.LogEvery,
	}
}

// grpc returns the options of the server within.
func (o Options) grpc(outermost grpc.StreamServerInterceptor) []grpc.ServerOption {
	opts := []grpc.ServerOption{grpc.NumStreamWorkers(streamWorkers), grpc.StreamInterceptor(outermost)}
	for _, i := range o.Interceptors {
		opts = append(opts, grpc.ChainUnaryInterceptor(i.Unary), grpc.ChainStreamInterceptor(i.Stream))
	}
	opts = append(opts, o.ServerOptions...)
	opts = append(opts,
		grpc.MaxRecvMsgSize(o.MaxReceiveBytes),
		grpc.MaxConcurrentStreams(uint32(o.MaxStreams)), //nolint:gosec // between 1 and MaxInt32
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: o.Keepalive, Timeout: keepaliveTimeout, MaxConnectionAge: o.MaxConnectionAge,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
		grpc.UnknownServiceHandler(noSuchMethod),
	)
	if o.MaxHeaderBytes > 0 {
		opts = append(opts, grpc.MaxHeaderListSize(uint32(min(o.MaxHeaderBytes, math.MaxInt32)))) //nolint:gosec // bounded
	}
	if o.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	return opts
}
