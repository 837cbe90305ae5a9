// Package outcall is what an endpoint's call tells the client that sends its request, by the request's context.
package outcall

import "context"

// Call says what is particular about a request. Its zero value is a request like any other.
type Call struct {
	Redirects bool // a redirect is the answer, and is not followed
	Stream    bool // the answer goes on for as long as it lasts: a client's time-out ends with its header
	Bounded   bool // the answer's body has a limit of its own, which may be none: a client's does not hold
}

type key struct{}

// NewContext returns ctx with c.
func NewContext(ctx context.Context, c Call) context.Context {
	return context.WithValue(ctx, key{}, c)
}

// From returns the call of ctx, a zero one where there is none.
func From(ctx context.Context) Call {
	c, _ := ctx.Value(key{}).(Call)
	return c
}
