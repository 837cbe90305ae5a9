package grpcserver

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

const scope = "github.com/mainstay-go/mainstay/transport/grpcserver"

// Interceptor is one interceptor for both kinds of calls. Give both halves to a server:
//
//	o := grpcserver.Observe(nil)
//	s := grpc.NewServer(grpc.ChainUnaryInterceptor(o.Unary), grpc.ChainStreamInterceptor(o.Stream))
type Interceptor struct {
	Unary  grpc.UnaryServerInterceptor  // for calls of one request and one answer
	Stream grpc.StreamServerInterceptor // for all other calls
}

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

// Observe returns an interceptor that does for each call what the package comment says: correlation, span, metrics,
// access log, recovery, and the status of an error. Make it the first, so that it sees what the others return. Nil
// options are defaults.
//
// An interceptor of a unary call runs after its request was read: what cannot be read, and methods that nobody
// registered, are not observed. [Server] observes those too.
//
// It panics where Registerer holds another metric of one of its names: a mistake that start-up shows.
func Observe(o *ObserveOptions) Interceptor {
	if o == nil {
		o = &ObserveOptions{}
	}
	obs, err := newObserver(*o)
	if err != nil {
		panic(err)
	}
	return Interceptor{
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if isHealth(info.FullMethod) {
				return next(ctx, req)
			}
			c := call{method: obs.method(info.FullMethod)}
			return obs.unary(ctx, &c, func(ctx context.Context) (any, error) { return next(ctx, req) })
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if isHealth(info.FullMethod) {
				return next(srv, ss)
			}
			c := call{method: obs.other, original: info.FullMethod}
			if srv != nil { // which it is for a handler of unknown services
				c = call{method: obs.method(info.FullMethod)}
			}
			return obs.stream(srv, ss, &c, next)
		},
	}
}

// observer is one pass over each call. The fields behind other are zero in a stand-alone interceptor.
type observer struct {
	logger     *slog.Logger
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	red        *metrics.RED
	methods    sync.Map // full name -> *method, of those that are registered
	other      *method  // of those that are not

	auth     *authenticator // nil checks nobody
	timeout  time.Duration  // of unary calls, 0 for none
	draining chan struct{}  // closed when the server begins to drain
	cutOff   atomic.Bool    // set before the server cancels what still runs
}

func newObserver(o ObserveOptions) (*observer, error) {
	red, err := metrics.NewRED(o.Registerer, metrics.REDOptions{
		Name:           "rpc_server_call_duration_seconds",
		Help:           "Duration of incoming remote procedure calls.",
		Labels:         []string{"rpc_method", "rpc_response_status_code"},
		InFlight:       "rpc_server_active_calls",
		InFlightHelp:   "Number of active incoming remote procedure calls.",
		InFlightLabels: []string{"rpc_method"},
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
		propagator: o.Propagator,
		red:        red,
	}
	if obs.propagator == nil {
		obs.propagator = propagation.TraceContext{}
	}
	obs.other = obs.newMethod(rpc.Other)
	// There is nothing behind them that anybody could do: they are told so, as HTTP says 404.
	obs.other.rule = Rule{Access: transport.Public}
	return obs, nil
}

// method is what the calls of one method have in common.
type method struct {
	label  string
	rule   Rule
	active prometheus.Gauge
	start  []trace.SpanStartOption
}

func (o *observer) newMethod(label string) *method {
	return &method{
		label:  label,
		active: o.red.InFlight(label),
		// Here, and not later, because samplers see them.
		start: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(label)),
		},
	}
}

// method returns the method of a full name that is registered with the server.
func (o *observer) method(full string) *method {
	if m, ok := o.methods.Load(full); ok {
		return m.(*method)
	}
	m, _ := o.methods.LoadOrStore(full, o.newMethod(rpc.Method(full)))
	return m.(*method)
}

// call is what one call needs.
type call struct {
	*method
	original string // the method's full name, where it is not registered
	start    time.Time
	span     trace.Span
	panicked *panicInfo
	answered atomic.Pointer[status.Status] // by the library itself, see note
}

// note takes down that the library could not read or write a message. It answers such a call by itself, and ends its
// context: what the handler makes of it comes too late.
func (c *call) note(err error) error {
	if err != nil && err != io.EOF { //nolint:errorlint // the library returns it bare
		c.answered.CompareAndSwap(nil, status.Convert(err))
	}
	return err
}

// observedStream is a stream that notes what the library answers.
type observedStream struct {
	stream
	call *call
}

// RecvMsg receives one message.
func (s *observedStream) RecvMsg(m any) error { return s.call.note(s.ServerStream.RecvMsg(m)) }

// SendMsg sends one message.
func (s *observedStream) SendMsg(m any) error { return s.call.note(s.ServerStream.SendMsg(m)) }

// unary observes one unary call; handle decodes, too, in a Server.
func (o *observer) unary(
	ctx context.Context, c *call, handle func(context.Context) (any, error),
) (res any, err error) {
	ctx, cancel := limit(o.begin(ctx, c), o.timeout)
	defer cancel() // after what follows, which asks ctx why it ended
	returned := false
	defer func() {
		// One place for all ways out of a handler: return, panic, and runtime.Goexit, which recover does not see.
		v := recover()
		if !returned {
			c.panicked = newPanic(v)
		}
		if err = o.end(ctx, c, err); err != nil {
			res = nil
		}
	}()
	if o.auth != nil {
		admitted, refused := o.auth.check(ctx, c.rule)
		ctx = admitted
		if refused != nil {
			returned = true
			return nil, refused
		}
	}
	res, err = handle(ctx)
	returned = true
	return res, err
}

// stream observes one streaming call.
func (o *observer) stream(srv any, ss grpc.ServerStream, c *call, handle grpc.StreamHandler) (err error) {
	ctx := o.begin(ss.Context(), c)
	returned := false
	defer func() {
		v := recover() // as above
		if !returned {
			c.panicked = newPanic(v)
		}
		err = o.end(ctx, c, err)
	}()
	if o.auth != nil {
		admitted, refused := o.auth.check(ctx, c.rule)
		ctx = admitted
		if refused != nil {
			returned = true
			return refused
		}
	}
	if o.draining != nil {
		ctx = context.WithValue(ctx, drainingKey{}, o.draining)
	}
	err = handle(srv, &observedStream{stream{ServerStream: ss, ctx: ctx}, c})
	returned = true
	return err
}

// begin adopts or mints the correlation ID, and starts the span under the caller's where there is one.
func (o *observer) begin(ctx context.Context, c *call) context.Context {
	c.start = time.Now()
	c.active.Inc()
	id := rpc.CorrelationID(ctx)
	// It fails where an interceptor before this one has sent the header: then there is no echo.
	_ = grpc.SetHeader(ctx, metadata.MD{correlation.Key: {id}})
	ctx = correlation.NewContext(ctx, id)
	ctx = o.propagator.Extract(ctx, rpc.Incoming{Ctx: ctx})
	ctx, c.span = o.tracer.Start(ctx, c.spanName(), c.method.start...)
	if c.span.IsRecording() {
		c.span.SetAttributes(c.attributes(ctx)...)
	}
	return ctx
}

func (c *call) spanName() string {
	if c.original != "" {
		return "grpc"
	}
	return c.label
}

func (c *call) attributes(ctx context.Context) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 4)
	if c.original != "" {
		attrs = append(attrs, semconv.RPCMethodOriginal(rpc.Original(c.original)))
	}
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return attrs
	}
	host, port, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return attrs
	}
	attrs = append(attrs, semconv.NetworkPeerAddress(host))
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.NetworkPeerPort(n))
	}
	return attrs
}

// end records what came of the call, and returns the error to be sent.
func (o *observer) end(ctx context.Context, c *call, err error) error {
	took := time.Since(c.start)
	cutOff := o.cutOff.Load()
	sent := outcome(ctx, err, cutOff)
	if answered := c.answered.Load(); answered != nil && !(cutOff && answered.Code() == codes.Canceled) {
		sent = answered
	}
	if c.panicked != nil {
		sent = sentForPanic()
	}
	name := rpc.CodeName(sent.Code())
	o.red.Observe(ctx, took, c.label, name)
	c.endSpan(sent.Code(), name)
	o.log(ctx, c, sent.Code(), name, took, err)
	c.active.Dec()
	if sent == nil || err == nil {
		return sent.Err() // nil of nil; a panic leaves no error
	}
	return rpc.Wrap(err, sent)
}

func (c *call) endSpan(code codes.Code, name string) {
	defer c.span.End()
	if !c.span.IsRecording() {
		return
	}
	c.span.SetAttributes(semconv.RPCResponseStatusCode(name))
	if isFailure(code) {
		c.span.SetStatus(otelcodes.Error, "")
		c.span.SetAttributes(semconv.ErrorTypeKey.String(name))
	}
}

func (o *observer) log(ctx context.Context, c *call, code codes.Code, name string, took time.Duration, cause error) {
	level := slog.LevelInfo
	if isFailure(code) {
		level = slog.LevelError
	}
	if !o.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs,
		slog.String(correlation.Attr, correlation.FromContext(ctx)),
		slog.String("method", c.label),
		slog.String("code", name),
		slog.Duration("duration", took))
	if c.original != "" {
		attrs = append(attrs, slog.String("method_original", rpc.Original(c.original)))
	}
	if cause != nil {
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	if p := c.panicked; p != nil {
		attrs = append(attrs, slog.Any("panic", p.value), slog.String("stack", p.stack))
	}
	o.logger.LogAttrs(ctx, level, "call", attrs...)
}
