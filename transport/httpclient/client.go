package httpclient

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mainstay-go/mainstay/transport/internal/outcall"
)

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
// The error matches the context's, and its cause, where the context or Timeout ended the call, and resilience.ErrOpen where the
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
		return nil, failed(r.Context(), out, err)
	}
	answered()
	if call := outcall.From(ctx); c.maxResponse > 0 && !call.Stream && !call.Bounded {
		limit(resp, c.maxResponse)
	}
	resp.Body = hold(resp.Body, cancel)
	return resp, nil
}

// CloseIdleConnections closes the connections that wait for another request. Call it when the client is done with.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }
