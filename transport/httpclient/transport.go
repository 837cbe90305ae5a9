package httpclient

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"github.com/mainstay-go/mainstay/auth"
)

var (
	errNoURL      = errors.New("httpclient: the request has no URL")
	errNoResponse = errors.New("httpclient: the transport returned neither a response nor an error")
)

// pass is what is done for each attempt, in one pass that copies the request once: [Observe], [Authorize] and
// [Deadline] each return one that does their part alone.
type pass struct {
	base     http.RoundTripper
	observer *observer        // nil observes nothing
	tokens   auth.TokenSource // nil is none
	audience string
	deadline bool
}

// RoundTrip sends a copy of r: r itself is never changed.
func (p *pass) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		closeBody(r)
		return nil, errNoURL
	}
	if p.observer == nil {
		return p.send(r, copyOf(r.Context(), r))
	}
	ctx, a := p.observer.begin(r)
	out := copyOf(ctx, r)
	p.observer.inject(ctx, out.Header)
	resp, err := p.send(r, out)
	p.observer.end(ctx, &a, resp, err)
	return resp, err
}

// copyOf returns a copy of r with ctx, whose header is its own. The values are shared, and replaced, never changed.
func copyOf(ctx context.Context, r *http.Request) *http.Request {
	out := r.WithContext(ctx)
	out.Header = make(http.Header, len(r.Header)+4)
	maps.Copy(out.Header, r.Header)
	return out
}

// send sends out, the copy of r.
func (p *pass) send(r, out *http.Request) (*http.Response, error) {
	if err := p.authorize(out); err != nil {
		closeBody(r)
		return nil, err
	}
	if p.deadline {
		tellDeadline(out)
	}
	return roundTrip(p.base, out)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (p *pass) CloseIdleConnections() { closeIdle(p.base) }

// orDefault returns http.DefaultTransport for nil.
func orDefault(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		return http.DefaultTransport
	}
	return base
}

// roundTrip holds base to the contract of http.RoundTripper as far as a nil would break us.
func roundTrip(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	resp, err := base.RoundTrip(r)
	switch {
	case err != nil:
		return nil, err
	case resp == nil:
		return nil, errNoResponse
	case resp.Body == nil:
		resp.Body = http.NoBody
	}
	return resp, nil
}

func closeIdle(base http.RoundTripper) {
	if c, ok := base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
