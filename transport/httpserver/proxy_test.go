package httpserver_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

var proxies = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.7/32"),
}

func TestClientAddr(t *testing.T) {
	xff := &httpserver.Proxies{Trusted: proxies}
	rfc := &httpserver.Proxies{Trusted: proxies, Forwarded: true}
	for _, c := range []struct {
		name    string
		proxies *httpserver.Proxies
		peer    string
		header  string // as lines "Name: value"
		want    string // "" for invalid
	}{
		{"NobodyIsTrusted", &httpserver.Proxies{}, "10.0.0.1:99", "X-Forwarded-For: 203.0.113.9", "10.0.0.1"},
		{"AStrangerIsNotBelieved", xff, "198.51.100.1:99", "X-Forwarded-For: 203.0.113.9", "198.51.100.1"},
		{"AProxyIs", xff, "10.0.0.1:99", "X-Forwarded-For: 203.0.113.9", "203.0.113.9"},
		{"FromRightToLeft", xff, "10.0.0.1:99", "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.2,192.0.2.7", "203.0.113.9"},
		{"LinesAreOneList", xff, "10.0.0.1:99", "X-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-For: 10.0.0.2", "203.0.113.9"},
		{"ProxiesAlone", xff, "10.0.0.1:99", "X-Forwarded-For: 10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"NoHeader", xff, "10.0.0.1:99", "", "10.0.0.1"},
		{"AnEmptyHeader", xff, "10.0.0.1:99", "X-Forwarded-For: ", "10.0.0.1"},
		{"Garbage", xff, "10.0.0.1:99", "X-Forwarded-For: 203.0.113.9, <script>", "10.0.0.1"},
		{"GarbageBehindAProxy", xff, "10.0.0.1:99", "X-Forwarded-For: 203.0.113.9, nonsense, 10.0.0.2", "10.0.0.2"},
		{"AnEmptyElement", xff, "10.0.0.1:99", "X-Forwarded-For: 203.0.113.9,, 10.0.0.2", "10.0.0.2"},
		{"WithAPort", xff, "10.0.0.1:99", "X-Forwarded-For: 203.0.113.9:4711", "203.0.113.9"},
		{"IPv6", xff, "[fd00::1]:99", "X-Forwarded-For: 2001:db8::5", "2001:db8::5"},
		{"IPv6WithAPort", xff, "[fd00::1]:99", "X-Forwarded-For: [2001:db8::5]:443", "2001:db8::5"},
		{"AZone", xff, "[fd00::1%eth0]:99", "X-Forwarded-For: fe80::1%eth0", "fe80::1"},
		{"IPv4InIPv6IsIPv4", xff, "[::ffff:10.0.0.1]:99", "X-Forwarded-For: ::ffff:203.0.113.9", "203.0.113.9"},
		{"TheOtherHeaderIsTheClients", xff, "10.0.0.1:99", "Forwarded: for=1.1.1.1\nX-Forwarded-For: 203.0.113.9", "203.0.113.9"},
		{"AndTheOtherWayRound", rfc, "10.0.0.1:99", "Forwarded: for=203.0.113.9\nX-Forwarded-For: 1.1.1.1", "203.0.113.9"},
		{"RFC7239", rfc, "10.0.0.1:99", `Forwarded: for=1.1.1.1, For="[2001:db8:cafe::17]:4711";proto=https;by=203.0.113.43, for=10.0.0.2`, "2001:db8:cafe::17"},
		{"Unknown", rfc, "10.0.0.1:99", "Forwarded: for=203.0.113.9, for=unknown", "10.0.0.1"},
		{"Obfuscated", rfc, "10.0.0.1:99", "Forwarded: for=203.0.113.9, for=_hidden, for=10.0.0.2", "10.0.0.2"},
		{"AnObfuscatedPort", rfc, "10.0.0.1:99", `Forwarded: for="203.0.113.9:_p"`, "203.0.113.9"},
		{"NoFor", rfc, "10.0.0.1:99", "Forwarded: for=203.0.113.9, proto=https", "10.0.0.1"},
		{"ForTwice", rfc, "10.0.0.1:99", "Forwarded: for=1.1.1.1;for=203.0.113.9", "10.0.0.1"},
		{"ACommaInAQuotedString", rfc, "10.0.0.1:99", `Forwarded: for=203.0.113.9;host="a,for=1.1.1.1"`, "203.0.113.9"},
		{"AnOpenQuote", rfc, "10.0.0.1:99", `Forwarded: for="1.1.1.1, for=203.0.113.9`, "203.0.113.9"},
		{"BracketsAroundIPv4", rfc, "10.0.0.1:99", `Forwarded: for="[203.0.113.9]"`, "10.0.0.1"},
		{"NoPeer", xff, "", "X-Forwarded-For: 203.0.113.9", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.proxies.ClientAddr(forwarded(c.peer, c.header)); c.want == "" && got.IsValid() || c.want != "" && got.String() != c.want {
				t.Errorf("from %s with %q: %v, want %q", c.peer, c.header, got, c.want)
			}
		})
	}
	t.Run("AUnixSocketIsTrusted", func(t *testing.T) {
		r := forwarded("@", "X-Forwarded-For: 1.1.1.1, 203.0.113.9")
		r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Net: "unix"})))
		if got := new(httpserver.Proxies).ClientAddr(r); got.String() != "203.0.113.9" {
			t.Errorf("got %v, want 203.0.113.9", got)
		}
	})
}

func TestClientKeyIsWhatOneClientHas(t *testing.T) {
	p := &httpserver.Proxies{}
	for peer, want := range map[string]string{
		"203.0.113.9:99": "203.0.113.9", "[2001:db8:1:2:aaaa::1]:99": "2001:db8:1:2::/64", "": "",
	} {
		if got := p.ClientKey(forwarded(peer, "")); got != want {
			t.Errorf("%q: %q, want %q", peer, got, want)
		}
	}
}

// forwarded returns a request of a peer with header lines.
func forwarded(peer, lines string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = peer
	for line := range strings.SplitSeq(lines, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			r.Header.Add(name, value)
		}
	}
	return r
}

// FuzzClientAddr holds that whatever a client writes into the header, the address that the proxy has seen it at is
// found, and that what a stranger sends is not believed.
func FuzzClientAddr(f *testing.F) {
	for _, seed := range []string{
		"", ",", "1.1.1.1", "1.1.1.1, 10.0.0.1", `for="[::1]:80"`, `for="`, `for="\"`, `"`, `\"`, "[", "[::1", "unknown, _x",
		"for=1.1.1.1;for=2.2.2.2", "::ffff:1.1.1.1%x", ":", "1:2", "fe80::1%eth0,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, client string) {
		const seen = "203.0.113.9"
		for _, c := range []struct {
			rfc    bool
			append string
		}{{false, seen}, {true, "for=" + seen}} {
			p := &httpserver.Proxies{Trusted: proxies, Forwarded: c.rfc}
			name := map[bool]string{false: "X-Forwarded-For", true: "Forwarded"}[c.rfc]
			for _, values := range [][]string{{client, c.append}, {client + ", " + c.append}} {
				r := forwarded("10.0.0.1:99", "")
				r.Header[name] = values
				if got := p.ClientAddr(r); got.String() != seen {
					t.Errorf("%s %q: %v, want %s", name, values, got, seen)
				}
			}
			r := forwarded("198.51.100.1:99", "")
			r.Header[name] = []string{client}
			if got := p.ClientAddr(r); got.String() != "198.51.100.1" {
				t.Errorf("a stranger's %s %q: %v, want the stranger", name, client, got)
			}
		}
	})
}

func BenchmarkClientAddr(b *testing.B) {
	p := &httpserver.Proxies{Trusted: proxies}
	r := forwarded("10.0.0.1:99", "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.2")
	b.ReportAllocs()
	for b.Loop() {
		p.ClientAddr(r)
	}
}
