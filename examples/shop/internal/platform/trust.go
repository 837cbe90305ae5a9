package platform

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// loopback is what Config.Trust is by default.
const loopback = "127.0.0.0/8,::1/128"

var errTrust = errors.New(`-trust: want address prefixes, "10.0.0.0/8,fd00::/8"`)

// prefixes returns what Config.Trust lists.
func prefixes(list string) ([]netip.Prefix, error) {
	if list == "" {
		list = loopback
	}
	var ps []netip.Prefix
	for s := range strings.SplitSeq(list, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil {
			return nil, errTrust
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// trusts reports whether r comes from an address that is trusted.
func (p *Platform) trusts(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && slices.ContainsFunc(p.trusted, func(at netip.Prefix) bool {
		return at.Contains(from.Addr().Unmap())
	})
}
