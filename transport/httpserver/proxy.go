package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies says which addresses in front of a server are its operator's own, so that what they say of the client is
// believed. The zero value believes nobody over TCP: the client is whoever is connected.
type Proxies struct {
	// Trusted holds the addresses of the proxies, as narrow as can be: whoever can send from one of them can be anybody.
	Trusted []netip.Prefix
	// Forwarded says that the proxies write the Forwarded header (RFC 7239). False means X-Forwarded-For. Only one of the
	// two is ever read: a proxy passes on the other one as its client sent it.
	Forwarded bool
}

// ClientAddr returns the address that r comes from: of the addresses of the connection and of the header, from the
// nearest to the farthest, the first that is not a trusted proxy's. A trusted proxy that gives no address ("unknown", an
// obfuscated identifier, something unreadable) is as far as it goes, and its own address is returned. What a client
// itself wrote into the header lies beyond the address that the nearest proxy has seen it at, and is never reached.
//
// A peer over a unix socket has no address and is trusted: the socket's mode says who may connect. The result is invalid
// where there is nothing behind it. IPv4 in IPv6 is IPv4, and a zone is left out.
func (p *Proxies) ClientAddr(r *http.Request) netip.Addr {
	client, ok := peer(r)
	if !ok || client.IsValid() && !p.trusts(client) {
		return client
	}
	name, read := "X-Forwarded-For", addrOf
	if p.Forwarded {
		name, read = "Forwarded", forOf
	}
	values := r.Header[name]
	for i := len(values) - 1; i >= 0; i-- { // several lines are one list (RFC 9110, 5.3)
		for rest, more := values[i], true; more; {
			var last string
			rest, last, more = cutLast(rest, p.Forwarded)
			addr, ok := read(last)
			if !ok {
				return client
			}
			if client = addr; !p.trusts(client) {
				return client
			}
		}
	}
	return client
}

// ClientKey returns the client's address as a key for [RateLimit]: of IPv6 the /64, which is what one customer has at
// the least (RFC 6177), or a client would have as many keys as it likes. It is "" where the address is unknown.
func (p *Proxies) ClientKey(r *http.Request) string {
	addr := p.ClientAddr(r)
	switch {
	case !addr.IsValid():
		return ""
	case addr.Is6():
		prefix, _ := addr.Prefix(64) // fails for no IPv6 address
		return prefix.String()
	}
	return addr.String()
}

func (p *Proxies) trusts(addr netip.Addr) bool {
	for _, prefix := range p.Trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// peer returns who is connected: an invalid address over a unix socket, and false where the address cannot be read.
func peer(r *http.Request) (addr netip.Addr, ok bool) {
	if addr, ok := addrOf(r.RemoteAddr); ok {
		return addr, true
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return netip.Addr{}, local != nil && local.Network() == "unix"
}

// cutLast returns the last element of a list and what is before it. A comma in a quoted string is no separator; from
// the right a string is quoted where it ends so, since what is before may be anybody's.
func cutLast(list string, quoted bool) (before, last string, more bool) {
	inside := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case quoted && list[i] == '"' && !escaped(list, i):
			inside = !inside
		case list[i] == ',' && !inside:
			return list[:i], list[i+1:], true
		}
	}
	return "", list, false
}

// escaped reports whether an odd number of backslashes is before i.
func escaped(s string, i int) bool {
	n := 0
	for ; i > n && s[i-1-n] == '\\'; n++ {
	}
	return n%2 == 1
}

// forOf returns the address in the "for" parameter of a forwarded-element (RFC 7239, 4).
func forOf(element string) (addr netip.Addr, ok bool) {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.EqualFold(strings.Trim(name, " \t"), "for") {
			continue
		}
		if ok {
			return netip.Addr{}, false // given twice
		}
		value = strings.Trim(value, " \t")
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		if addr, ok = addrOf(value); !ok {
			return netip.Addr{}, false
		}
	}
	return addr, ok
}

// addrOf reads an address with or without a port: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" and
// "[2001:db8::1]:80", with or without a zone.
func addrOf(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	host := s
	switch {
	case strings.HasPrefix(s, "["):
		inside, port, ok := strings.Cut(s[1:], "]")
		if !ok || port != "" && !isPort(port) || !strings.Contains(inside, ":") {
			return netip.Addr{}, false
		}
		host = inside
	case strings.Count(s, ":") == 1:
		i := strings.IndexByte(s, ':')
		if !isPort(s[i:]) {
			return netip.Addr{}, false
		}
		host = s[:i]
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// isPort reports whether s is a colon and what RFC 7239 takes for a port: up to five digits, or an obfuscated one.
func isPort(s string) bool {
	if len(s) < 2 || s[0] != ':' {
		return false
	}
	if s[1] == '_' {
		return true
	}
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) <= 6
}
