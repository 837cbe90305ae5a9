package httpserver

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
)

// maxRoutes bounds the routes that have series of their own. A mux has fewer; a Route function that returns paths by
// mistake has no end of them.
const maxRoutes = 1000

// method is a request's method as a label: the place of its name in methods.
type method uint8

const methodOther method = 0

// methods are those of RFC 9110 and RFC 5789, in upper case, after what stands for all that callers invent.
var methods = [...]string{
	metrics.Other, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

func methodOf(name string) method {
	for i, known := range methods {
		if name == known && i > 0 {
			return method(i) //nolint:gosec // of ten
		}
	}
	return methodOther
}

func (m method) String() string { return methods[m] }

// spanName is the method's part of a span's name.
func (m method) spanName() string {
	if m == methodOther {
		return "HTTP"
	}
	return methods[m]
}

// outcomes finds what all requests of one route, method and status share, without putting labels together. There are
// never more of them than maxRoutes+2 (no route, and those past the bound) times len(methods) times the statuses that
// handlers send.
type outcomes struct {
	log    slog.Handler
	red    *metrics.RED // nil where nothing is measured, and then nothing is kept
	bound  *metrics.Values
	mu     sync.Mutex // held to replace what is found by the pointers
	routes atomic.Pointer[map[string]*route]
}

// route has a slice for each method, never written once it is here: a route answers with few statuses.
type route struct {
	name    string
	methods [len(methods)]atomic.Pointer[[]*outcome]
}

// outcome is what the requests of one route, method and status share.
type outcome struct {
	route    string // "" where none matched
	status   int
	code     string // status in digits
	spanName string
	series   *metrics.Series // nil where nothing is measured
	log      slog.Handler    // has the three as attributes
	level    slog.Level
	count    atomic.Uint64 // of the requests, where the access log is sampled
}

func newOutcomes(log slog.Handler, red *metrics.RED, reg prometheus.Registerer) (*outcomes, error) {
	bound, err := metrics.NewValues(reg, "http_route", maxRoutes)
	if err != nil {
		return nil, err
	}
	o := &outcomes{log: log, red: red, bound: bound}
	o.routes.Store(&map[string]*route{})
	return o, nil
}

// of returns the outcome. Where there was one like it before, it takes no lock and allocates nothing.
func (o *outcomes) of(name string, m method, status int) *outcome {
	if o.red == nil {
		return o.newOutcome(name, m, status)
	}
	r := o.route(name)
	if list := r.methods[m].Load(); list != nil {
		if out := find(*list, status); out != nil {
			return out
		}
	}
	return o.add(r, m, status)
}

func find(list []*outcome, status int) *outcome {
	for _, out := range list {
		if out.status == status {
			return out
		}
	}
	return nil
}

func (o *outcomes) route(name string) *route {
	if r, ok := (*o.routes.Load())[name]; ok {
		return r
	}
	name = o.bound.Label(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	known := *o.routes.Load()
	if r, ok := known[name]; ok {
		return r
	}
	r := &route{name: strings.Clone(name)} // it may be a slice of a whole request
	known = maps.Clone(known)
	known[r.name] = r
	o.routes.Store(&known)
	return r
}

func (o *outcomes) add(r *route, m method, status int) *outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*outcome
	if p := r.methods[m].Load(); p != nil {
		list = *p
	}
	if out := find(list, status); out != nil {
		return out
	}
	out := o.newOutcome(r.name, m, status)
	list = append(slices.Clip(list), out)
	r.methods[m].Store(&list)
	return out
}

func (o *outcomes) newOutcome(name string, m method, status int) *outcome {
	out := &outcome{
		route: name, status: status, code: strconv.Itoa(status), spanName: m.spanName(),
		log: o.log.WithAttrs([]slog.Attr{
			slog.String("method", m.String()), slog.String("route", name), slog.Int("status", status),
		}),
	}
	if name != "" {
		out.spanName += " " + name
	}
	if status >= http.StatusInternalServerError {
		out.level = slog.LevelError
	}
	if o.red != nil {
		out.series = o.red.With(m.String(), name, out.code)
	}
	return out
}
