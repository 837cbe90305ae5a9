// Package reqstate is what the layers of a server tell each other about one request: one mutable struct in one
// context value. The server makes it; whoever knows better fills it in on the way (the endpoint its route, the error
// path its error), since what an inner layer puts into a context of its own does not show outside; the server reads
// it at the end, for the span, the metrics and the access log.
//
// It promises nothing outside of the transport packages.
package reqstate

import (
	"context"
	"errors"
	"sync"
)

// State is safe for concurrent use: a handler may outlive its request (http.TimeoutHandler) and go on writing while
// the server reads.
type State struct {
	mu      sync.Mutex
	route   string
	err     error
	maxBody int64
	limited bool
	open    bool
}

// SetRoute names the route that matched, such as "/users/{id}".
func (s *State) SetRoute(route string) {
	s.mu.Lock()
	s.route = route
	s.mu.Unlock()
}

// Fail records why the request failed. The first error stays: those after it are consequences.
func (s *State) Fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
}

// Outcome returns the route and the error, each zero where nobody set it.
func (s *State) Outcome() (route string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.route, s.err
}

// LimitBody bounds the request's body at n bytes, n <= 0 for no bound. It returns false where no server layer
// watches the limit, and the caller must do it itself.
func (s *State) LimitBody(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limited {
		s.maxBody = n
	}
	return s.limited
}

// Limited reports whether a server layer watches the limit.
func (s *State) Limited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

// WatchBody is called by the layer that enforces the limit, before anybody reads.
func (s *State) WatchBody(n int64) {
	s.mu.Lock()
	s.limited, s.maxBody = true, n
	s.mu.Unlock()
}

// MaxBody returns the limit, <= 0 for none.
func (s *State) MaxBody() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxBody
}

// Open marks a request of a server that authenticates nobody, by its options' own word.
func (s *State) Open() {
	s.mu.Lock()
	s.open = true
	s.mu.Unlock()
}

// IsOpen reports whether Open was called.
func (s *State) IsOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

type key struct{}

// Context is a context that carries its own State, for a server that makes both in one allocation. Set the embedded
// context, and hand the address on.
type Context struct {
	context.Context //nolint:containedctx // it is a context
	State
}

// Value returns the State to From, and what the context below has to everybody else.
func (c *Context) Value(k any) any {
	if k == (key{}) {
		return &c.State
	}
	return c.Context.Value(k)
}

// From returns the state of ctx, nil where no server made one.
func From(ctx context.Context) *State {
	s, _ := ctx.Value(key{}).(*State)
	return s
}

// CallerLeft reports whether a request's context ended because its caller went away: not by a time-out, and not by a
// server that cuts off what it cannot wait for, which gives another cause.
func CallerLeft(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled)
}

type drainingKey struct{}

// WithDraining returns ctx with the channel that a server closes when it stops.
func WithDraining(ctx context.Context, c <-chan struct{}) context.Context {
	return context.WithValue(ctx, drainingKey{}, c)
}

// Draining returns the channel of WithDraining, nil where there is none.
func Draining(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(drainingKey{}).(<-chan struct{})
	return c
}
