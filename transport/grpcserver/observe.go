package grpcserver

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

const scope = "github.com/mainstay-go/mainstay/transport/grpcserver"

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
	// Trust reports whose word is taken, by a call's context: package peer finds the address and the certificate in it;
	// nobody is authenticated yet. Nil means that everybody's correlation ID and trace are continued. Otherwise only
	// the callers that it is true for have theirs continued, baggage included, and may ask for their trace to be kept
	// (metadata "x-trace-sample: 1"); all others get a new ID, and a new trace with a link to theirs.
	Trust func(context.Context) bool
	// LogEvery thins the access log out to one line in so many calls of a method that end with one code, the first of
	// them included. Calls that fail (see the package comment) are logged one and all. Zero means 1, every call;
	// negative means none but those that fail.
	LogEvery int
}

// Observe returns an interceptor that does for each call what the package comment says: correlation, span, metrics,
// access log, recovery, and the status of an error. Make it the first, so that it sees what the others return. Nil
// options are defaults.
//
// An interceptor of a unary call runs after its request was read: what cannot be read, and methods that nobody
// registered, are not observed. [Server] observes those too.
//
// A server that is given grpc.NumStreamWorkers(32) as well saves the growing of a new goroutine's stack, a fifth of a
// small call. [Server] has it.
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
	handler    slog.Handler // of the access log
	logEvery   int
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	trust      func(context.Context) bool // nil trusts everybody with little
	red        *metrics.RED
	messages   *prometheus.CounterVec
	methods    sync.Map // full name -> *method, of those that are registered
	other      *method  // of those that are not

	validates     bool
	timeout       time.Duration // of unary calls, 0 for none
	streamTimeout time.Duration // of all others, 0 for none
	cutOff        atomic.Bool   // set before the server cancels what still runs
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
	messages, err := metrics.Register(o.Registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rpc_server_stream_messages_total",
		Help: "Messages of streaming incoming remote procedure calls.",
	}, []string{"rpc_method", "direction"}))
	if err != nil {
		return nil, err
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	obs := &observer{
		handler:    cmp.Or(o.Logger, slog.Default()).Handler(),
		logEvery:   o.LogEvery,
		tracer:     o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: o.Propagator,
		trust:      o.Trust,
		red:        red,
		messages:   messages,
	}
	if obs.propagator == nil {
		obs.propagator = propagation.TraceContext{}
	}
	obs.other = obs.newMethod(rpc.Other)
	// There is nothing behind them that anybody could do: they are told so, as HTTP says 404.
	obs.other.rule = Rule{Access: transport.Public}
	return obs, nil
}

// unary observes one unary call; handle authenticates and decodes, too, in a Server.
func (o *observer) unary(
	ctx context.Context, c *call, handle func(context.Context) (any, error),
) (res any, err error) {
	ctx, cancel := within(ctx, o.timeout)
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
	c.begin(ctx)
	ctx = o.adopt(ctx, c)
	res, err = handle(ctx)
	returned = true
	return res, err
}

// stream observes one streaming call.
func (o *observer) stream(srv any, ss grpc.ServerStream, c *call, handle grpc.StreamHandler) (err error) {
	ctx, cancel := within(ss.Context(), o.streamTimeout)
	defer cancel() // as above
	observed := &observedStream{stream: stream{ServerStream: ss}, call: c, validates: o.validates}
	c.stream = observed
	returned := false
	defer func() {
		v := recover() // as above
		if !returned {
			c.panicked = newPanic(v)
		}
		err = o.end(ctx, c, err)
	}()
	c.begin(ctx)
	observed.messages = o.messagesOf(c.method)
	ctx = o.adopt(ctx, c)
	observed.ctx = ctx
	err = handle(srv, observed)
	returned = true
	return err
}
