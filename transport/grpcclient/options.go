package grpcclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
)

const (
	defaultTimeout = 10 * time.Second
	// defaultKeepalive is above the five minutes that a server of the library takes for abuse when it says nothing.
	defaultKeepalive = 6 * time.Minute
	// keepaliveTimeout is how long a ping may stay without an answer.
	keepaliveTimeout = 20 * time.Second

	// A server that comes back is found within seconds: the library's own bound is two minutes.
	minReconnect   = 200 * time.Millisecond
	maxReconnect   = 5 * time.Second
	connectTimeout = 5 * time.Second
)

// Options of a connection, and of an [Interceptor], which has no use for TLS, WaitForReady, ServiceConfig, Keepalive
// and DialOptions.
type Options struct {
	// TLS is how the connection is secured. Nil means TLS with the system's roots.
	TLS *tls.Config
	// Insecure makes a cleartext connection, and lets tokens go over one. It excludes TLS. False means TLS, and no
	// token over anything else.
	Insecure bool

	// TokenSource yields the bearer token of each call. Nil means none.
	TokenSource auth.TokenSource
	// Audience is whom the token is for. Required with a TokenSource.
	Audience string

	// Timeout bounds a unary call whose context has no deadline, all its attempts together. Streams are bounded by
	// their context alone. Zero means 10s; negative means none.
	Timeout time.Duration
	// Policy guards unary calls: it counts every attempt, and repeats those of Idempotent methods. Nil means none.
	Policy *resilience.Policy
	// Idempotent names what may be called twice with the effect of once, by full method name
	// ("/package.Service/Method": the constants of the generated code) or for a whole service ("package.Service"). All
	// other calls are made once under the Policy, for a failed one may have had its effect. Nil means nothing is
	// repeated. It needs a Policy. Where that hedges, the two calls may be under way at the same time.
	Idempotent []string

	// WaitForReady makes calls wait for a connection as long as their time allows, where they would be Unavailable at
	// once. False means that they do not wait, which lets a Policy notice.
	WaitForReady bool
	// ServiceConfig is JSON for what the library does by itself (its doc/service_config.md): per method a retryPolicy,
	// a timeout, waitForReady; and retryThrottling. Its retries hold for streams too, until their first message, and
	// are no spans or samples of their own; with a Policy that repeats the same method they multiply. How calls are
	// spread and health is watched stays as the package comment says where it does not say otherwise. A config that
	// comes with the target's name is not looked for. "" means none.
	ServiceConfig string
	// Keepalive is how long a connection with calls on it may be silent before the client asks whether the server
	// lives; without an answer within 20s the connection is replaced. Zero means 6m, which every server permits; a
	// grpcserver permits 10s and more. Negative means never.
	Keepalive time.Duration
	// DialOptions go to grpc.NewClient after those of this package, and win. Interceptors given here run inside of the
	// kit's. Nil means none.
	DialOptions []grpc.DialOption

	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator writes the trace. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// orDefault returns def for zero and off for a negative v.
func orDefault(v, def, off time.Duration) time.Duration {
	switch {
	case v == 0:
		return def
	case v < 0:
		return off
	}
	return v
}

// validate refuses what would have no effect, or another than the one meant.
func (o *Options) validate() error {
	switch {
	case o.TLS != nil && o.Insecure:
		return errors.New("both TLS and Insecure")
	case o.TokenSource != nil && o.Audience == "":
		return errors.New("a TokenSource without an Audience")
	case o.TokenSource == nil && o.Audience != "":
		return errors.New("an Audience without a TokenSource")
	case o.Policy == nil && len(o.Idempotent) > 0:
		return errors.New("methods in Idempotent without a Policy")
	}
	for _, name := range o.Idempotent {
		if !isName(name) {
			return fmt.Errorf("%q in Idempotent is neither a full method name nor a service", name)
		}
	}
	return nil
}

// isName reports whether name is "/package.Service/Method" or "package.Service".
func isName(name string) bool {
	full, isMethod := strings.CutPrefix(name, "/")
	service, method, slash := strings.Cut(full, "/")
	if !isMethod {
		return name != "" && !slash
	}
	return service != "" && method != "" && !strings.Contains(method, "/")
}

// dial returns the options of the connection.
func (o *Options) dial(i Interceptor, serviceConfig string) []grpc.DialOption {
	creds := insecure.NewCredentials()
	if !o.Insecure {
		creds = credentials.NewTLS(o.TLS)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithChainUnaryInterceptor(i.Unary),
		grpc.WithChainStreamInterceptor(i.Stream),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDisableServiceConfig(), // of a name server, which nobody reviews
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: orDefault(o.Keepalive, defaultKeepalive, math.MaxInt64), Timeout: keepaliveTimeout,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minReconnect, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxReconnect},
			MinConnectTimeout: connectTimeout,
		}),
	}
	if o.WaitForReady {
		opts = append(opts, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	}
	return append(opts, o.DialOptions...)
}
