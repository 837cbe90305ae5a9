package grpcclient

import (
	"context"
	"errors"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// policies guard calls: once for those that must not be repeated. Both are nil where there is no policy.
type policies struct {
	repeat, once *resilience.Policy
	idempotent   map[string]bool
}

func newPolicies(p *resilience.Policy, idempotent []string) policies {
	if p == nil {
		return policies{}
	}
	// The caller's reply and call options are written by one call at a time: no two beside each other.
	ps := policies{repeat: p.WithoutHedge(), once: p.WithoutRetry(), idempotent: make(map[string]bool, len(idempotent))}
	for _, name := range idempotent {
		ps.idempotent[name] = true
	}
	return ps
}

// do makes a call of a method.
func (ps *policies) do(ctx context.Context, method string, call func(context.Context) error) error {
	if ps.repeat == nil {
		return call(ctx)
	}
	p := ps.once
	if ps.idempotent[method] || ps.idempotent[rpc.Service(method)] {
		p = ps.repeat
	}
	_, err := resilience.Do(ctx, p, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return whole(err)
}

// whole returns err as a coded error: it is none where the policy did not let the call happen.
func whole(err error) error {
	var e *transport.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	e = transport.AsError(err)
	return rpc.Wrap(e, rpc.ToStatus(e))
}
