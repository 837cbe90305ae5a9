package httpclient

import (
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
)

const (
	// maxPeers bounds the servers that have series of their own, for a transport under a client that goes anywhere.
	maxPeers = 100
	// maxTemplates bounds the templates of all servers together. A program declares fewer; one that puts paths there by
	// mistake has no end of them.
	maxTemplates = 500
)

// method is a request's method as a label: the place of its name in methods.
type method uint8

const methodOther method = 0

// methods are those of RFC 9110 and RFC 5789, in upper case, after what stands for all others.
var methods = [...]string{
	metrics.Other, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

func methodOf(name string) method {
	if name == "" {
		name = http.MethodGet
	}
	for i, known := range methods {
		if name == known && i > 0 {
			return method(i) //nolint:gosec // of ten
		}
	}
	return methodOther
}

func (m method) String() string { return methods[m] }

// peers finds what all attempts of one server, template and method share, without putting labels together.
type peers struct {
	red       *metrics.RED
	addresses *metrics.Values
	templates *metrics.Values
	mu        sync.Mutex // held to replace what is found by the pointers, here and below
	byHost    atomic.Pointer[map[hostKey]*peer]
	byAddress map[string]*peer // of the labels; held with mu
}

// hostKey is how a server is named in a URL.
type hostKey struct{ scheme, host string }

// peer is one server.
type peer struct {
	address, port string // the labels
	routes        atomic.Pointer[map[string]*[len(methods)]*operation]
}

// operation is one method of one template of one server, or of what has no template.
type operation struct {
	peer     *peer
	template string
	method   method
	spanName string
	outcomes atomic.Pointer[[]*outcome] // the slice is never written once it is here: servers answer with few statuses
}

func newPeers(reg prometheus.Registerer) (*peers, error) {
	red, err := metrics.NewRED(reg, metrics.REDOptions{
		Name: "http_client_request_duration_seconds",
		Help: "Duration of HTTP client requests.",
		Labels: []string{
			"http_request_method", "server_address", "server_port", "url_template", "http_response_status_code", "error_type",
		},
	})
	if err != nil {
		return nil, err
	}
	p := &peers{red: red, byAddress: map[string]*peer{}}
	if p.addresses, err = metrics.NewValues(reg, "server_address", maxPeers); err != nil {
		return nil, err
	}
	if p.templates, err = metrics.NewValues(reg, "url_template", maxTemplates); err != nil {
		return nil, err
	}
	p.byHost.Store(&map[hostKey]*peer{})
	return p, nil
}

// operation returns r's. Where there was one like it before, it takes no lock and allocates nothing.
func (p *peers) operation(r *http.Request) *operation {
	at, ok := (*p.byHost.Load())[hostKey{r.URL.Scheme, r.URL.Host}]
	if !ok {
		at = p.peer(r.URL)
	}
	template := templateOf(r.Pattern)
	ops, ok := (*at.routes.Load())[template]
	if !ok {
		ops = p.route(at, template)
	}
	return ops[methodOf(r.Method)]
}

// templateOf returns the path of a pattern: "/users/{id}" of "GET example.com/users/{id}".
func templateOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}

func (p *peers) peer(u *url.URL) *peer {
	address, port := addressOf(u)
	label := p.addresses.Label(net.JoinHostPort(address, strconv.Itoa(port)))
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.byAddress[label]
	if !ok {
		at = newPeer(label)
		p.byAddress[label] = at
	}
	// A server is named in few ways; the bound is for a program that invents some. Those past the bound of the label are
	// not kept, so that each of their requests is counted as having lost it.
	if known := *p.byHost.Load(); label != metrics.Overflow && len(known) < 4*maxPeers {
		known = maps.Clone(known)
		known[hostKey{strings.Clone(u.Scheme), strings.Clone(u.Host)}] = at
		p.byHost.Store(&known)
	}
	return at
}

// newPeer returns the peer of a label that addresses let through.
func newPeer(label string) *peer {
	at := &peer{address: label}
	if host, port, err := net.SplitHostPort(label); err == nil {
		at.address, at.port = host, port
		if port == "0" {
			at.port = "" // unknown, as of a scheme that is not ours
		}
	}
	at.routes.Store(&map[string]*[len(methods)]*operation{})
	return at
}

func (p *peers) route(at *peer, template string) *[len(methods)]*operation {
	template = p.templates.Label(template)
	p.mu.Lock()
	defer p.mu.Unlock()
	known := *at.routes.Load()
	if ops, ok := known[template]; ok {
		return ops
	}
	ops := new([len(methods)]*operation)
	for i := range ops {
		m := method(i) //nolint:gosec // of ten
		ops[i] = &operation{peer: at, template: template, method: m, spanName: spanName(m, template)}
		ops[i].outcomes.Store(new([]*outcome))
	}
	known = maps.Clone(known)
	known[template] = ops
	at.routes.Store(&known)
	return ops
}

// spanName is "METHOD template" as the conventions have it, or the method alone; one that is none of theirs is HTTP.
func spanName(m method, template string) string {
	name := m.String()
	if m == methodOther {
		name = "HTTP"
	}
	if template == "" || template == metrics.Overflow {
		return name
	}
	return name + " " + template
}

// addressOf returns the server that u names. The port is 0 where neither u nor its scheme tells it.
func addressOf(u *url.URL) (address string, port int) {
	address = strings.ToLower(u.Hostname())
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return address, n
	}
	switch u.Scheme {
	case "https":
		return address, 443
	case "http":
		return address, 80
	}
	return address, 0
}

// withoutQuery returns u as it may be told: a query may hold secrets, and so may a user.
func withoutQuery(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }
