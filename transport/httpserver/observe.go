package httpserver

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

const scope = "github.com/mainstay-go/mainstay/transport/httpserver"

// statusCallerLeft is nginx's "client closed request".
const statusCallerLeft = 499

// ObserveOptions say where what is observed goes, and what is left out. The same fields are in [Options].
type ObserveOptions struct {
	// Logger gets the access log. Nil means slog.Default().
	Logger *slog.Logger
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator reads the caller's trace. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer

	// Trust says whose word counts: see the package comment. It is asked once for each request, before anything else.
	// Nil means that everybody's correlation ID and trace are continued, and X-Trace-Sample does nothing. A trace that is
	// continued is kept if its caller says so (traceparent's sampled flag): set Trust where strangers call.
	Trust func(*http.Request) bool
	// Proxies finds the client.address of spans. Nil means that it is the address of whoever is connected.
	Proxies *Proxies
	// Route names the route of a request, such as "/users/{id}", for routers that do not set Request.Pattern. It is
	// asked once the handler has returned, with the request that the handler got: a router that hands a copy on is asked
	// by a middleware inside of it, such as chi's Use takes. It must not return paths: past 1,000 different routes it is
	// "__other__". Where it returns "", and where it is nil, the route is what http.ServeMux or an httpapi endpoint says.
	Route func(*http.Request) string
	// Quiet names requests that leave no span, and no access log line unless they fail (5xx), such as probes of health.
	// They are counted all the same. Nil means none.
	Quiet func(*http.Request) bool
	// LogEvery thins the access log out to one line in so many requests of a route, method and status, the first of
	// them included. Requests that fail (5xx) are logged one and all. Zero means 1, every request; negative means none
	// but those that fail.
	LogEvery int
}

// Observe returns a middleware that does for each request what the package comment says: correlation, span, metrics,
// access log and recovery. Make it the outermost layer, once: inside another one it would count every request twice.
// Nil options are defaults.
//
// It panics where Registerer holds another metric of one of its names: a mistake that start-up shows.
func Observe(o *ObserveOptions) func(http.Handler) http.Handler {
	if o == nil {
		o = &ObserveOptions{}
	}
	obs, err := newObserver(*o)
	if err != nil {
		panic("httpserver: " + err.Error())
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { obs.serve(w, r, next) })
	}
}

// observer is one pass over each request. The fields behind trust are zero in a stand-alone middleware.
type observer struct {
	tracer     trace.Tracer // nil where the options said Unobserved: then nothing is taken but panics
	options    startOptions
	propagator propagation.TextMapPropagator
	active     [len(methods)]prometheus.Gauge
	outcomes   *outcomes
	route      func(*http.Request) string
	quiet      func(*http.Request) bool
	logEvery   int
	trust      func(*http.Request) bool
	proxies    *Proxies

	auth    *authenticator // nil checks nobody
	open    bool           // the options said Unauthenticated
	maxBody int64          // 0 leaves the body alone, negative lets endpoints alone set limits
	server  *serving       // nil in a middleware
}

func newObserver(o ObserveOptions) (*observer, error) {
	red, err := metrics.NewRED(o.Registerer, metrics.REDOptions{
		Name:           "http_server_request_duration_seconds",
		Help:           "Duration of HTTP server requests.",
		Labels:         []string{"http_request_method", "http_route", "http_response_status_code"},
		InFlight:       "http_server_active_requests",
		InFlightHelp:   "Number of active HTTP server requests.",
		InFlightLabels: []string{"http_request_method"},
	})
	if err != nil {
		return nil, err
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	obs := &observer{
		tracer:     o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		options:    newStartOptions(),
		propagator: o.Propagator,
		route:      o.Route,
		quiet:      o.Quiet,
		logEvery:   o.LogEvery,
		trust:      o.Trust,
		proxies:    o.Proxies,
	}
	if obs.proxies == nil {
		obs.proxies = &Proxies{}
	}
	if obs.propagator == nil {
		obs.propagator = propagation.TraceContext{}
	}
	for m := range obs.active {
		obs.active[m] = red.InFlight(method(m).String()) //nolint:gosec // of ten
	}
	obs.outcomes, err = newOutcomes(cmp.Or(o.Logger, slog.Default()).Handler(), red, o.Registerer)
	return obs, err
}

// newRecoverer returns an observer that takes nothing but panics.
func newRecoverer(logger *slog.Logger) *observer {
	return &observer{outcomes: &outcomes{log: logger.Handler()}}
}

// exchange is what one request needs, in one allocation. It is made anew for each: a context and a writer that a
// handler left with a goroutine of its own lead here for as long as that lives.
type exchange struct {
	state reqstate.Context
	recorder
	start  time.Time
	method method
	quiet  bool
	req    *http.Request
	span   span
	cancel context.CancelFunc // ends what a Server made of the context; nil where there is none
}

func (o *observer) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	x := &exchange{start: time.Now(), method: methodOf(r.Method)}
	x.recorder.w = w
	if o.server != nil {
		defer x.leave()
	}
	if o.tracer != nil {
		active := o.active[x.method]
		active.Inc()
		defer active.Dec()
	}
	ctx := o.begin(x, r)
	returned := false
	defer func() {
		// One place for all ways out of a handler: return, panic, and runtime.Goexit, which recover does not see.
		v := recover()
		if x.req == nil {
			x.req = r.WithContext(ctx) // a verifier panicked
		}
		if !returned {
			x.handlePanic(v)
		}
		o.end(x)
		if x.recorder.broken && v != nil {
			// net/http closes the connection, and says nothing more of it.
			panic(http.ErrAbortHandler)
		}
	}()
	if err := o.authenticate(ctx, x, r, next); err != nil {
		x.state.Fail(err)
		refuse(&x.recorder, x.req, err)
	} else {
		if o.server != nil {
			x.routing = routing{o.server.router, x.req}
		}
		next.ServeHTTP(x.recorder.wrap(), x.req)
		if o.server != nil {
			x.settle()
		}
	}
	returned = true
}

// begin gives the request its state, its correlation ID and its span.
func (o *observer) begin(x *exchange, r *http.Request) context.Context {
	x.state.Context = r.Context()
	if o.server != nil {
		o.server.enter(x, r)
	}
	if o.open {
		x.state.Open()
	}
	if o.tracer == nil {
		return &x.state
	}
	return o.adopt(x, r)
}

// authenticate makes the request that the handler gets, with its verified caller, if any, or says why it gets none.
func (o *observer) authenticate(ctx context.Context, x *exchange, r *http.Request, next http.Handler) error {
	var known bool
	var err error
	if o.auth != nil {
		ctx, known, err = o.auth.identify(ctx, r)
	}
	x.req = r.WithContext(ctx)
	if o.maxBody != 0 && r.Body != nil && r.Body != http.NoBody {
		x.state.WatchBody(o.maxBody)
		x.req.Body = &body{from: r.Body, state: &x.state.State, header: x.recorder.w.Header(), req: r}
	}
	if err != nil || o.auth == nil || known || o.auth.admits(x.req, next) {
		return err
	}
	return errNoCredential
}

// end records what came of the request.
func (o *observer) end(x *exchange) {
	took := time.Since(x.start)
	ctx := x.req.Context()
	name, cause := x.state.Outcome()
	if o.route != nil {
		name = cmp.Or(o.route(x.req), name)
	}
	if name == "" {
		name = routeOf(x.req.Pattern)
	}
	if x.recorder.status == 0 {
		x.recorder.restoreEcho() // before net/http writes the header for a handler that wrote nothing
	}
	status := x.recorder.finalStatus()
	if reqstate.CallerLeft(ctx) && x.recorder.unanswered(status) {
		status = statusCallerLeft
	}
	if o.tracer == nil && x.recorder.panicked == nil {
		return
	}
	out := o.outcomes.of(name, x.method, status)
	if out.series != nil {
		out.series.Observe(ctx, took)
		x.endSpan(out)
	}
	if o.logs(x, out) {
		x.log(ctx, out, took, cause)
	}
}

// routeOf returns the path of a ServeMux pattern: "/users/{id}" of "GET example.com/users/{id}".
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}
