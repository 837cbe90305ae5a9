package httpserver

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

const scope = "github.com/mainstay-go/mainstay/transport/httpserver"

// statusCallerLeft is nginx's "client closed request".
const statusCallerLeft = 499

// ObserveOptions say where what is observed goes. The same fields are in [Options].
type ObserveOptions struct {
	// Logger gets the access log. Nil means slog.Default().
	Logger *slog.Logger
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator reads the caller's trace. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
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

// observer is one pass over each request. The fields behind red are zero in a stand-alone middleware.
type observer struct {
	logger     *slog.Logger
	tracer     trace.Tracer
	kind       trace.SpanStartOption // server
	propagator propagation.TextMapPropagator
	red        *metrics.RED // nil where the options said Unobserved: then nothing is taken but panics

	auth    *authenticator // nil checks nobody
	open    bool           // the options said Unauthenticated
	maxBody int64          // 0 leaves the body alone, negative lets endpoints alone set limits
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
		logger:     cmp.Or(o.Logger, slog.Default()),
		tracer:     o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		kind:       trace.WithSpanKind(trace.SpanKindServer),
		propagator: o.Propagator,
		red:        red,
	}
	if obs.propagator == nil {
		obs.propagator = propagation.TraceContext{}
	}
	return obs, nil
}

// exchange is what one request needs, in one allocation.
type exchange struct {
	reqstate.State
	recorder
	body   body
	start  time.Time
	method string // the label
	req    *http.Request
	span   trace.Span
}

func (o *observer) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	x := &exchange{start: time.Now(), method: methodLabel(r.Method)}
	x.recorder.w = w
	if o.red != nil {
		active := o.red.InFlight(x.method)
		active.Inc()
		defer active.Dec()
	}
	o.begin(x, r)
	returned := false
	defer func() {
		// One place for all ways out of a handler: return, panic, and runtime.Goexit, which recover does not see.
		v := recover()
		if !returned {
			x.handlePanic(v)
		}
		o.end(x)
		if x.recorder.broken && v != nil {
			// net/http closes the connection, and says nothing more of it.
			panic(http.ErrAbortHandler)
		}
	}()
	if err := o.authenticate(x, next); err != nil {
		x.Fail(err)
		refuse(&x.recorder, x.req, err)
	} else {
		next.ServeHTTP(x.recorder.wrap(), x.req)
	}
	returned = true
}

// begin gives the request its state, its correlation ID, its span and its body limit.
func (o *observer) begin(x *exchange, r *http.Request) {
	ctx := reqstate.NewContext(r.Context(), &x.State)
	if o.open {
		x.Open()
	}
	if o.red != nil {
		ctx = o.trace(ctx, x, r)
	}
	x.req = r.WithContext(ctx)
	if o.maxBody != 0 && r.Body != nil && r.Body != http.NoBody {
		x.WatchBody(o.maxBody)
		x.body = body{from: r.Body, state: &x.State, header: x.recorder.w.Header(), req: r}
		x.req.Body = &x.body
	}
}

// trace starts the span, under the caller's where r names one, and adopts or mints the correlation ID.
func (o *observer) trace(ctx context.Context, x *exchange, r *http.Request) context.Context {
	id := correlation.FromHeader(r.Header)
	x.recorder.w.Header()[correlation.Header] = []string{id}
	ctx = correlation.NewContext(ctx, id)
	ctx = o.propagator.Extract(ctx, carrier{propagation.HeaderCarrier(r.Header)})
	ctx, x.span = o.tracer.Start(ctx, spanMethod(x.method),
		o.kind, trace.WithAttributes(sampledAttributes(x.method, r)...))
	if x.span.IsRecording() {
		x.span.SetAttributes(peerAttributes(x.method, r)...)
	}
	return ctx
}

// carrier spares the names of W3C trace context, which every request is asked for, a new string in canonical form.
type carrier struct{ propagation.HeaderCarrier }

func (c carrier) Get(key string) string {
	switch key {
	case "traceparent":
		key = "Traceparent"
	case "tracestate":
		key = "Tracestate"
	}
	return c.HeaderCarrier.Get(key)
}

// authenticate puts the verified caller, if any, into the request's context, or says why the request is refused.
func (o *observer) authenticate(x *exchange, next http.Handler) error {
	if o.auth == nil {
		return nil
	}
	p, ok, err := o.auth.check(x.req, next)
	if ok {
		x.req = x.req.WithContext(auth.NewContext(x.req.Context(), p))
	}
	return err
}

// end records what came of the request.
func (o *observer) end(x *exchange) {
	took := time.Since(x.start)
	ctx := x.req.Context()
	route, cause := x.Outcome()
	if route == "" {
		route = routeOf(x.req.Pattern)
	}
	status := x.recorder.finalStatus()
	if reqstate.CallerLeft(ctx) && x.recorder.unanswered(status) {
		status = statusCallerLeft
	}
	if o.red != nil {
		o.red.Observe(ctx, took, x.method, route, strconv.Itoa(status))
		o.endSpan(x, route, status)
	}
	if o.red != nil || x.recorder.panicked != nil {
		o.log(ctx, x, route, status, took, cause)
	}
}

func (o *observer) endSpan(x *exchange, route string, status int) {
	defer x.span.End()
	if !x.span.IsRecording() {
		return
	}
	attrs := make([]attribute.KeyValue, 0, 3) // one call: each locks the span and may grow it
	attrs = append(attrs, semconv.HTTPResponseStatusCode(status))
	if route != "" {
		x.span.SetName(spanMethod(x.method) + " " + route)
		attrs = append(attrs, semconv.HTTPRoute(route))
	}
	if status >= 500 {
		x.span.SetStatus(codes.Error, "")
		attrs = append(attrs, semconv.ErrorTypeKey.String(strconv.Itoa(status)))
	}
	x.span.SetAttributes(attrs...)
}

func (o *observer) log(
	ctx context.Context, x *exchange, route string, status int, took time.Duration, cause error,
) {
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	if !o.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs,
		slog.String(correlation.Attr, correlation.FromContext(ctx)),
		slog.String("method", x.method),
		slog.String("route", route),
		slog.String("path", x.req.URL.Path),
		slog.Int("status", status),
		slog.Int64("bytes", x.recorder.bytes),
		slog.Duration("duration", took))
	if cause != nil {
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	if p := x.recorder.panicked; p != nil {
		attrs = append(attrs, slog.Any("panic", p.value), slog.String("stack", p.stack))
	}
	o.logger.LogAttrs(ctx, level, "request", attrs...)
}

// methodLabel bounds what callers invent. The known methods are those of RFC 9110 and RFC 5789, in upper case.
func methodLabel(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "_OTHER"
}

// spanMethod is the method's part of a span's name.
func spanMethod(label string) string {
	if label == "_OTHER" {
		return "HTTP"
	}
	return label
}

// routeOf returns the path of a ServeMux pattern: "/users/{id}" of "GET example.com/users/{id}".
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}

// sampledAttributes are those that the semantic conventions want at the start, where samplers see them.
func sampledAttributes(method string, r *http.Request) []attribute.KeyValue {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(method), semconv.URLPath(r.URL.Path), semconv.URLScheme(scheme),
	}
}

func peerAttributes(method string, r *http.Request) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 8)
	if method != r.Method {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(r.Method))
	}
	host, port := splitHostPort(r.Host)
	attrs = append(attrs, semconv.ServerAddress(host))
	if port > 0 {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	if host, port := splitHostPort(r.RemoteAddr); host != "" {
		attrs = append(attrs, semconv.NetworkPeerAddress(host), semconv.NetworkPeerPort(port), semconv.ClientAddress(host))
	}
	if v, ok := strings.CutPrefix(r.Proto, "HTTP/"); ok {
		attrs = append(attrs, semconv.NetworkProtocolVersion(strings.TrimSuffix(v, ".0")))
	}
	if ua := r.UserAgent(); ua != "" {
		attrs = append(attrs, semconv.UserAgentOriginal(ua))
	}
	return attrs
}

// splitHostPort returns the port as 0 where there is none.
func splitHostPort(s string) (host string, port int) {
	if !strings.Contains(s, ":") {
		return s, 0 // what net would say, without its error
	}
	h, p, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0
	}
	port, err = strconv.Atoi(p)
	if err != nil {
		return h, 0
	}
	return h, port
}
