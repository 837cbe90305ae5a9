package httpclient

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
)

const (
	defaultTimeout     = 30 * time.Second
	defaultMaxResponse = 64 << 20
	// maxRedirects is net/http's own bound.
	maxRedirects = 10
)

// Options of a [Client].
type Options struct {
	// Base sends the requests. Nil means a [Pool] of the client's own.
	Base http.RoundTripper
	// Resolver finds the base URL of the service that New names. Nil means that New is given the base URL itself.
	Resolver Resolver
	// Timeout bounds one Do with all its attempts, and reading the body of its response, unless that is an
	// httpapi.Stream's; the server is told of it. Zero means 30s; negative means none, so that only the request's
	// context bounds it.
	Timeout time.Duration
	// MaxResponse bounds the body of a response, in bytes after decompression; see [LimitResponse]. Zero means 64 MiB;
	// negative means no limit, for downloads. An httpapi.Stream has none, and an endpoint of httpapi with a MaxResponse of
	// its own has that instead.
	MaxResponse int64
	// TokenSource yields the bearer token of each attempt that has no Authorization header yet. Nil means none.
	TokenSource auth.TokenSource
	// Audience is whom the token is for. One of TokenSource and Audience without the other is an error.
	Audience string
	// Policy guards the calls, see the package comment. Share one among the clients of one dependency. Nil means
	// none: one attempt, within Timeout.
	Policy *resilience.Policy
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator sends the trace along. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}
