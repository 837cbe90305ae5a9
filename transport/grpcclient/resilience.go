package grpcclient

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// policies guard calls. All are nil where there is no policy.
type policies struct {
	full       *resilience.Policy // for what may be called twice
	single     *resilience.Policy // without hedging
	once       *resilience.Policy // for those that must not be repeated
	idempotent map[string]bool
}

func newPolicies(p *resilience.Policy, idempotent []string) policies {
	if p == nil {
		return policies{}
	}
	ps := policies{
		full: p, single: p.WithoutHedge(), once: p.WithoutRetry(), idempotent: make(map[string]bool, len(idempotent)),
	}
	for _, name := range idempotent {
		ps.idempotent[name] = true
	}
	return ps
}

// of returns the policy for a call of a method.
func (ps *policies) of(method string, to answer) *resilience.Policy {
	switch {
	case !ps.idempotent[method] && !ps.idempotent[rpc.Service(method)]:
		return ps.once
	case !to.divisible():
		return ps.single
	}
	return ps.full
}

// do makes a call of a method.
func (ps *policies) do(ctx context.Context, method string, to answer, call func(context.Context, answer) error) error {
	if ps.full == nil {
		return call(ctx, to)
	}
	p := ps.of(method, to)
	if p != ps.full {
		_, err := resilience.Do(ctx, p, func(ctx context.Context) (*spare, error) { return nil, call(ctx, to) })
		return whole(err)
	}
	newSpare := spares(to)
	var taken atomic.Bool // a try writes to the caller's own answer
	second, err := resilience.Do(ctx, p, func(ctx context.Context) (*spare, error) {
		if taken.CompareAndSwap(false, true) {
			defer taken.Store(false)
			return nil, call(ctx, to)
		}
		s := newSpare()
		return s, call(ctx, s.answer)
	})
	if second != nil {
		second.deliver(to, err)
	}
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
