package httpclient

import (
	"fmt"
	"maps"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// TransportOptions are those [Options] that concern one attempt.
type TransportOptions struct {
	// TokenSource yields the bearer token of each request that has no Authorization header yet. Nil means none.
	TokenSource auth.TokenSource
	// Audience is whom the token is for. One of TokenSource and Audience without the other makes [NewTransport] panic.
	Audience string
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator sends the trace along. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// NewTransport returns a RoundTripper that adds correlation ID, trace and token to what base sends, for http.Clients
// that are not of this package. Nil base is http.DefaultTransport, nil options are defaults. Where a redirect leaves the
// origin of the first request, the token stays behind.
//
// It panics where Registerer holds another metric of the same name, and on one of TokenSource and Audience without
// the other: mistakes that start-up shows.
func NewTransport(base http.RoundTripper, o *TransportOptions) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if o == nil {
		o = &TransportOptions{}
	}
	t, err := newTransport(base, *o)
	if err != nil {
		panic(fmt.Sprintf("httpclient: %v", err))
	}
	return t
}

// roundTripper sends one attempt.
type roundTripper struct {
	base     http.RoundTripper
	tokens   auth.TokenSource // nil is none
	audience string
	*observer
}

func newTransport(base http.RoundTripper, o TransportOptions) (*roundTripper, error) {
	switch {
	case o.TokenSource != nil && o.Audience == "":
		return nil, errNoAudience
	case o.TokenSource == nil && o.Audience != "":
		return nil, errNoTokenSource
	}
	obs, err := newObserver(o)
	return &roundTripper{base: base, tokens: o.TokenSource, audience: o.Audience, observer: obs}, err
}

// RoundTrip sends a copy of r: r itself is never changed.
func (t *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, a := t.begin(r)
	out := r.WithContext(ctx)
	out.Header = make(http.Header, len(r.Header)+3)
	maps.Copy(out.Header, r.Header) // the values are shared, and replaced, never changed
	t.propagator.Inject(ctx, propagation.HeaderCarrier(out.Header))
	if id := correlation.FromContext(ctx); correlation.Valid(id) {
		out.Header[correlation.Header] = []string{id}
	}
	if err := t.authorize(out); err != nil {
		closeBody(r)
		t.end(ctx, a, nil, err)
		return nil, err
	}
	resp, err := t.base.RoundTrip(out)
	t.end(ctx, a, resp, err)
	return resp, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (t *roundTripper) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
