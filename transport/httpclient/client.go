package httpclient

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/internal/outcall"
)

const (
	defaultTimeout = 30 * time.Second
	// maxRedirects is net/http's own bound.
	maxRedirects = 10
)

// Options of a [Client].
type Options struct {
	// Base sends the requests. Nil means a transport of the client's own, with bounded time-outs, HTTP/2 over TLS, up
	// to 64 idle connections, and no proxy.
	Base http.RoundTripper
	// Timeout bounds one Do with all its attempts, and reading the body of its response, unless that is an
	// httpapi.Stream's. Zero means 30s; negative means none, so that only the request's context bounds it.
	Timeout time.Duration
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
	base    *url.URL
	http    *http.Client
	timeout time.Duration
	policy  *resilience.Policy // nil is none
	once    *resilience.Policy // policy without retry
	err     error              // what was wrong with New's arguments
}

// New returns a client of the service at baseURL, such as "http://users:8080" or "https://example.com/api". Nil
// options are defaults.
//
// What is wrong with baseURL (it is no absolute http or https URL), or with the options, is the error of [Client.Err]
// and of every Do.
func New(baseURL string, o *Options) *Client {
	if o == nil {
		o = &Options{}
	}
	c := &Client{timeout: o.Timeout, policy: o.Policy}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.policy != nil {
		c.once = c.policy.WithoutRetry()
	}
	base := o.Base
	if base == nil {
		base = ownTransport()
	}
	rt, err := newTransport(base, TransportOptions{
		TokenSource: o.TokenSource, Audience: o.Audience,
		TracerProvider: o.TracerProvider, Propagator: o.Propagator, Registerer: o.Registerer,
	})
	c.http = &http.Client{Transport: rt, CheckRedirect: stayAtHome}
	if err == nil {
		c.base, err = parseBase(baseURL)
	}
	if err != nil {
		c.err = fmt.Errorf("httpclient: %w", err)
	}
	return c
}

// Err returns what is wrong with the arguments of New, for programs that want to know at start-up; nil if nothing.
func (c *Client) Err() error { return c.err }

func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("base URL %q: want http:// or https:// and a host", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("base URL %q: want no user, query or fragment", u.Redacted())
	}
	return u, nil
}

// ownTransport is http.DefaultTransport with a proxy left out (the environment is not ours to read) and more idle
// connections a host: a client has one host.
func ownTransport() *http.Transport {
	d := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:            d.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
	}
}

// stayAtHome follows redirects within one origin. Another gets neither the request nor the token: the redirect is the
// answer then. So it is where an endpoint's result is one.
func stayAtHome(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects || !sameOrigin(r.URL, via[0].URL) || outcall.From(r.Context()).Redirects {
		return http.ErrUseLastResponse
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

// Do sends r and returns the response, whose body the caller must close. r's URL is a path, which is taken to be below
// the base URL, or an absolute URL of the same origin; anything else is an error. r itself is not changed, but its
// body is read and closed.
//
// The error matches the context's, where the context or Timeout ended the call, and resilience.ErrOpen where the
// policy refused it. Any status is a response and no error.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	target, err := c.resolve(r.URL)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	ctx, answered, cancel := c.deadline(r.Context())
	out := r.WithContext(ctx)
	out.URL = target
	var resp *http.Response
	if c.policy != nil {
		resp, err = c.guarded(out)
	} else {
		resp, err = c.http.Do(out)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("httpclient: %w", err)
	}
	answered()
	resp.Body = &heldBody{resp.Body, cancel}
	return resp, nil
}

// CloseIdleConnections closes the connections that wait for another request. Call it when the client is done with.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

var errOrigin = errors.New("is not of the base URL's origin")

func (c *Client) resolve(u *url.URL) (*url.URL, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case u.Host != "" || u.Scheme != "":
		if !sameOrigin(u, c.base) {
			return nil, fmt.Errorf("httpclient: URL %q %w", u.Redacted(), errOrigin)
		}
		return u, nil
	case u.Opaque != "" || !strings.HasPrefix(u.Path, "/"):
		return nil, fmt.Errorf("httpclient: URL %q: want a path that begins with a slash", u.Redacted())
	}
	full := *c.base
	full.Path = strings.TrimSuffix(c.base.Path, "/") + u.Path
	full.RawPath = strings.TrimSuffix(c.base.EscapedPath(), "/") + u.EscapedPath()
	full.RawQuery = u.RawQuery
	return &full, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
