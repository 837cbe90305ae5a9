package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/mainstay-go/mainstay/transport/internal/outcall"
)

// Resolver knows where services are in the environment that the program runs in: a table, a configuration, a registry.
// It must be safe for concurrent use.
type Resolver interface {
	// Resolve returns the base URL of the service called name, as [New] takes one without a Resolver. It is asked
	// before each Do, so that an answer may change; one that takes time to find is for the Resolver to keep.
	Resolve(ctx context.Context, name string) (baseURL string, err error)
}

// BaseURLs is a Resolver that knows the base URLs of services by their names. Do not change it while it is in use.
type BaseURLs map[string]string

// Resolve returns the base URL of the service called name, or an error where it is not known.
func (b BaseURLs) Resolve(_ context.Context, name string) (string, error) {
	if u, ok := b[name]; ok {
		return u, nil
	}
	return "", errors.New("no base URL is known")
}

// base is a base URL, parsed.
type base struct {
	text string
	url  *url.URL
}

func parseBase(s string) (*base, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("base URL %q: want http:// or https:// and a host", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("base URL %q: want no user, query or fragment", u.Redacted())
	}
	return &base{s, u}, nil
}

// home returns the base URL that holds now.
func (c *Client) home(ctx context.Context) (*url.URL, error) {
	last := c.base.Load()
	if c.resolver == nil {
		return last.url, nil
	}
	text, err := c.resolver.Resolve(ctx, c.service)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", c.service, err)
	}
	if last != nil && last.text == text {
		return last.url, nil
	}
	next, err := parseBase(text)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", c.service, err)
	}
	c.base.Store(next)
	return next.url, nil
}

var errOrigin = errors.New("is not of the base URL's origin")

// target returns where to send what was asked for at u.
func (c *Client) target(ctx context.Context, u *url.URL) (*url.URL, error) {
	home, err := c.home(ctx)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return nil, errors.New("the request has no URL")
	case u.Host != "" || u.Scheme != "":
		if !sameOrigin(u, home) {
			return nil, fmt.Errorf("URL %q %w", redacted(u), errOrigin)
		}
		return u, nil
	case u.Opaque != "" || !strings.HasPrefix(u.Path, "/"):
		return nil, fmt.Errorf("URL %q: want a path that begins with a slash", redacted(u))
	}
	full := *home
	full.Path = strings.TrimSuffix(home.Path, "/") + u.Path
	full.RawPath = strings.TrimSuffix(home.EscapedPath(), "/") + u.EscapedPath()
	full.RawQuery = u.RawQuery
	return &full, nil
}

// stayAtHome follows redirects within one origin. Another gets neither the request nor the token: the redirect is the
// answer then. So it is where an endpoint's result is one.
func stayAtHome(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects || !sameOrigin(r.URL, via[0].URL) || outcall.From(r.Context()).Redirects {
		return http.ErrUseLastResponse
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(withPort(a), withPort(b))
}

// withPort returns u's host with the port that its scheme means where it names none.
func withPort(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		return strings.TrimSuffix(u.Host, ":") + ":443"
	case u.Scheme == "http":
		return strings.TrimSuffix(u.Host, ":") + ":80"
	}
	return u.Host
}

// redacted returns u as an error may tell it: a query may hold secrets, and so may a user.
func redacted(u *url.URL) string {
	told := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, Opaque: u.Opaque}
	return told.String()
}
