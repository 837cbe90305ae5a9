package httpclient

import (
	"container/list"
	"net/http"
	"sync"

	"github.com/mainstay-go/mainstay/resilience"
)

// maxHosts bounds the policies that [GuardHosts] keeps.
const maxHosts = 1000

// GuardHosts is [Guard] with a policy for each host, so that one that fails does not take the others along. It calls
// policy once for a host that it has not seen, with host and port as they are in the request's URL ("users:8080"), one
// call at a time, and keeps what that returns, nil for a host to be called without one. Past 1,000 hosts the one that
// was not called for the longest time loses its policy, and with it what its breaker has learnt; it gets a new one when
// it is called again.
//
// It panics where policy is nil. Nil base of the layer is http.DefaultTransport.
func GuardHosts(policy func(host string) *resilience.Policy) func(base http.RoundTripper) http.RoundTripper {
	if policy == nil {
		panic("httpclient: GuardHosts without a policy")
	}
	h := &hosts{policy: policy, known: make(map[string]*list.Element)}
	return func(base http.RoundTripper) http.RoundTripper { return &guard{base: orDefault(base), of: h.of} }
}

// hosts are the policies of the hosts that were called last.
type hosts struct {
	policy func(host string) *resilience.Policy
	mu     sync.Mutex
	known  map[string]*list.Element // of *host
	recent list.List                // the last called first
}

type host struct {
	name string
	policies
}

func (h *hosts) of(name string) policies {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.known[name]; ok {
		h.recent.MoveToFront(e)
		return e.Value.(*host).policies
	}
	made := &host{name: name}
	if p := h.policy(name); p != nil {
		made.policies = policies{p, p.WithoutRetry()}
	}
	if len(h.known) >= maxHosts {
		last := h.recent.Back()
		delete(h.known, h.recent.Remove(last).(*host).name)
	}
	h.known[name] = h.recent.PushFront(made)
	return made.policies
}
