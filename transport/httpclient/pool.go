package httpclient

import (
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultMaxAge = time.Minute
	// idleTimeout is below the 60s and more after which the usual servers and balancers close: who closes first must be
	// the client, or a request meets the end of its connection.
	idleTimeout = 30 * time.Second
)

// PoolOptions of a [Pool].
type PoolOptions struct {
	// Transport is what connections are made with; its copies (Clone) are used, and it stays as it is. Its IdleConnTimeout
	// of 0, which is for ever, means 30s here. Nil means one for calls between services: 5s to connect and 5s for the TLS
	// handshake, HTTP/2 over TLS, up to 64 idle connections a host, kept for 30s, 1 MiB of response header, no proxy,
	// nothing read from the environment.
	Transport *http.Transport
	// MaxAge bounds how long a connection gets new requests. All are renewed at once, each time after MaxAge less up to a
	// tenth by chance. Zero means 1m; negative means that connections are used as long as they last.
	MaxAge time.Duration
}

// Pool is a RoundTripper whose connections do not live for ever. net/http keeps a connection as long as it is used, so
// that a client under load never notices that a name has moved to other addresses, or that there are more of them. A
// Pool begins anew after MaxAge: connections that are idle close, those in use close after their response, a stream
// goes on, and what follows looks the name up again.
//
// It starts no goroutine of its own: a pool that nobody uses does nothing, and its idle connections close by the
// transport's IdleConnTimeout. It is safe for concurrent use.
type Pool struct {
	template *http.Transport
	maxAge   time.Duration
	current  atomic.Pointer[generation]
	mu       sync.Mutex // held to renew
}

// generation is the connections that were made between two renewals.
type generation struct {
	*http.Transport
	ends time.Time // zero is never
}

// NewPool returns a pool. Nil options are defaults.
func NewPool(o *PoolOptions) *Pool {
	if o == nil {
		o = &PoolOptions{}
	}
	p := &Pool{template: o.Transport, maxAge: o.MaxAge}
	if p.template == nil {
		p.template = serviceTransport()
	}
	if p.maxAge == 0 {
		p.maxAge = defaultMaxAge
	}
	p.template = p.template.Clone() // what happens to the caller's from here on is not ours
	if p.template.IdleConnTimeout == 0 {
		// A request that was slow to take an old connection may leave it idle after the renewal, and nobody comes back.
		p.template.IdleConnTimeout = idleTimeout
	}
	return p
}

func serviceTransport() *http.Transport {
	d := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:            d.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    5 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
	}
}

// RoundTrip sends r by a connection that is young enough.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	g := p.current.Load()
	if g == nil || !g.ends.IsZero() && !time.Now().Before(g.ends) {
		g = p.renew(g)
	}
	return g.RoundTrip(r)
}

// renew returns the generation after old.
func (p *Pool) renew(old *generation) *generation {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.current.Load(); g != old {
		return g // somebody was faster
	}
	next := &generation{Transport: p.template.Clone()}
	if p.maxAge > 0 {
		// Pools that began together do not all connect together for ever.
		next.ends = time.Now().Add(p.maxAge - rand.N(p.maxAge/10+1)) //nolint:gosec // no secret
	}
	p.current.Store(next)
	if old != nil {
		old.CloseIdleConnections() // those in use, too, once they are not
	}
	return next
}

// CloseIdleConnections closes the connections that wait for another request. Call it when the pool is done with.
func (p *Pool) CloseIdleConnections() {
	if g := p.current.Load(); g != nil {
		g.CloseIdleConnections()
	}
}
