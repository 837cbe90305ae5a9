package httpclient

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/internal/outcall"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
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
	// negative means no limit, for downloads. An httpapi.Stream has none.
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

// Client calls one service. It is safe for concurrent use. It is an httpapi.Caller.
type Client struct {
	service     string
	resolver    Resolver // nil is none
	base        atomic.Pointer[base]
	http        *http.Client
	timeout     time.Duration
	maxResponse int64
	err         error // what was wrong with New's arguments
}

// New returns a client of a service: its base URL, such as "http://users:8080" or "https://example.com/api", or, with
// a Resolver, the name that the Resolver knows. Nil options are defaults.
//
// What is wrong with the base URL (it is no absolute http or https URL), or with the options, is the error of
// [Client.Err] and of every Do.
func New(service string, o *Options) *Client {
	if o == nil {
		o = &Options{}
	}
	c := &Client{
		service: service, resolver: o.Resolver, timeout: o.Timeout, maxResponse: o.MaxResponse,
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.maxResponse == 0 {
		c.maxResponse = defaultMaxResponse
	}
	rt, err := newTransport(o)
	if err == nil && c.resolver == nil {
		var b *base
		b, err = parseBase(service)
		c.base.Store(b)
	}
	c.http = &http.Client{Transport: rt, CheckRedirect: stayAtHome}
	if err != nil {
		c.err = fmt.Errorf("httpclient: %w", err)
	}
	return c
}

// newTransport returns all layers but those that concern a whole Do.
func newTransport(o *Options) (http.RoundTripper, error) {
	switch {
	case o.TokenSource != nil && o.Audience == "":
		return nil, errNoAudience
	case o.TokenSource == nil && o.Audience != "":
		return nil, errNoTokenSource
	}
	obs, err := newObserver(ObserveOptions{o.TracerProvider, o.Propagator, o.Registerer})
	if err != nil {
		return nil, err
	}
	p := &pass{base: o.Base, observer: obs, tokens: o.TokenSource, audience: o.Audience, deadline: true}
	if p.base == nil {
		p.base = NewPool(nil)
	}
	if o.Policy == nil {
		return p, nil
	}
	return Guard(o.Policy)(p), nil
}

// Err returns what is wrong with the arguments of New, for programs that want to know at start-up; nil if nothing.
func (c *Client) Err() error { return c.err }

// Do sends r and returns the response, whose body the caller must close. r's URL is a path, which is taken to be below
// the base URL, or an absolute URL of the same origin; anything else is an error. r itself is not changed, but its
// body is read and closed. r.Pattern, such as "/users/{id}", is the template by which the request is counted.
//
// The error matches the context's, where the context or Timeout ended the call, and resilience.ErrOpen where the
// policy refused it. Any status is a response and no error: see [Check]. No error tells the URL's query.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	if c.err != nil {
		closeBody(r)
		return nil, c.err
	}
	ctx, answered, cancel := c.deadline(r.Context())
	target, err := c.target(ctx, r.URL)
	if err != nil {
		cancel()
		closeBody(r)
		return nil, fmt.Errorf("httpclient: %w", err)
	}
	out := r.WithContext(ctx)
	out.URL = target
	resp, err := c.http.Do(out)
	if err != nil {
		cancel()
		return nil, failed(out, err)
	}
	answered()
	if c.maxResponse > 0 && !outcall.From(ctx).Stream {
		limit(resp, c.maxResponse)
	}
	resp.Body = hold(resp.Body, cancel)
	return resp, nil
}

// failed tells which request failed, without the query that net/http would tell.
func failed(r *http.Request, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	m := r.Method
	if m == "" {
		m = http.MethodGet
	}
	return fmt.Errorf("httpclient: %s %q: %w", m, redacted(r.URL), err)
}

// CloseIdleConnections closes the connections that wait for another request. Call it when the client is done with.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Check returns nil for a response of 2xx or 101. Any other it reads, within bounds, and closes, and returns the
// *[transport.Error] that it stands for: the one that a server of this kit built, by its problem details, or one by its
// status, whose cause is the beginning of the body: it goes to the log and never to a caller. It is what a call of
// httpapi does by itself.
func Check(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	defer resp.Body.Close()
	return problem.Read(resp)
}
