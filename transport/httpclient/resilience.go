package httpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

// What is read of a response that nobody will get, so that its connection can be used again, is bounded in bytes and
// in time: another connection costs less than either.
const (
	maxDrained = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// StatusError is what a policy is told of a response that is a failure, see the package comment. It is for
// resilience.Options.Classify: the caller gets the response.
type StatusError struct {
	// StatusCode of the response.
	StatusCode int
	after      time.Duration
}

// Error says which status.
func (e *StatusError) Error() string { return fmt.Sprintf("httpclient: status %d", e.StatusCode) }

// Retryable returns true.
func (e *StatusError) Retryable() bool { return true }

// RetryAfter returns what the response's Retry-After header asks for, 0 where there is none.
func (e *StatusError) RetryAfter() time.Duration { return e.after }

// failure returns resp as a policy sees it, nil for a success.
func failure(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return nil
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if resp.StatusCode < 500 {
			return nil
		}
	}
	return &StatusError{resp.StatusCode, problem.RetryAfter(resp.Header.Get(transport.HeaderRetryAfter))}
}

// Guard returns a layer that sends requests under policy, as the package comment describes. Put it outside of [Observe]
// and [Authorize], so that each attempt has a span and a token of its own. All hosts share the policy and its
// breaker: it is for a client of one service. [GuardHosts] is for one that goes to several.
//
// It panics where policy is nil. Nil base of the layer is http.DefaultTransport.
func Guard(policy *resilience.Policy) func(base http.RoundTripper) http.RoundTripper {
	if policy == nil {
		panic("httpclient: Guard without a policy")
	}
	p := policies{policy, policy.WithoutRetry()}
	return func(base http.RoundTripper) http.RoundTripper {
		return &guard{base: orDefault(base), of: func(string) policies { return p }}
	}
}

// policies are those of one dependency.
type policies struct {
	full *resilience.Policy // nil is none
	once *resilience.Policy // without retry, and without hedging
}

// guard sends each request under a policy.
type guard struct {
	base http.RoundTripper
	of   func(host string) policies
}

// RoundTrip sends r, and again where that is safe and the policy says so.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		closeBody(r)
		return nil, errNoURL
	}
	p := g.of(r.URL.Host)
	if p.full == nil {
		return roundTrip(g.base, r)
	}
	policy := p.full
	if !repeatable(r) {
		policy = p.once
	}
	var sent atomic.Int32 // two at a time where the policy hedges
	resp, err := resilience.DoReleasing(r.Context(), policy, func(ctx context.Context) (*http.Response, error) {
		return g.attempt(ctx, r, int(sent.Add(1))-1)
	}, discard)
	if sent.Load() == 0 {
		closeBody(r)
	}
	if err == nil {
		return resp, nil
	}
	// A failing status is an answer to the caller, whatever kept the policy from asking again, unless the caller is gone.
	if _, ok := errors.AsType[*StatusError](err); ok && resp != nil && r.Context().Err() == nil {
		return resp, nil
	}
	discard(resp)
	return nil, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (g *guard) CloseIdleConnections() { closeIdle(g.base) }

// attempt sends r once. ctx bounds the wait for the response, and no more than that: it ends when attempt returns, and
// the body is to be readable after.
func (g *guard) attempt(ctx context.Context, r *http.Request, n int) (*http.Response, error) {
	held, cancel := context.WithCancelCause(context.WithValue(r.Context(), resendKey{}, n))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	out := r.WithContext(held)
	if n > 0 && r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			cancel(nil)
			return nil, resilience.Permanent(err)
		}
		out.Body = body
	}
	resp, err := roundTrip(g.base, out)
	if err == nil && !stop() {
		_ = resp.Body.Close()
		err = ended(ctx) // it came in the very moment that its time ended
	}
	if err != nil {
		cancel(nil)
		if ctx.Err() != nil {
			// A transport that says no more than that held was cancelled would make it the caller's doing to the policy.
			err = ended(ctx)
		}
		return nil, err
	}
	resp.Body = hold(resp.Body, func() { cancel(nil) })
	return resp, failure(resp)
}

// ended is the error of a context that has ended, with its cause. A cause that is a time-out counts alone.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// repeatable reports whether r may be sent twice, and can be: by its method (RFC 9110, 9.2.2) or its key.
func repeatable(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.Header.Get(transport.HeaderIdempotencyKey) != ""
}

// discard gives resp's connection back, if any.
func discard(resp *http.Response) {
	if resp == nil {
		return
	}
	if held, ok := resp.Body.(interface{ end() }); ok {
		timer := time.AfterFunc(drainTime, held.end)
		defer timer.Stop()
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrained)
	_ = resp.Body.Close()
}

type resendKey struct{}

// resends returns how often the request of ctx was sent before.
func resends(ctx context.Context) int {
	n, _ := ctx.Value(resendKey{}).(int)
	return n
}
