package grpcclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

const (
	scope = "github.com/mainstay-go/mainstay/transport/grpcclient"
	// maxMethods bounds the method label. Generated code stays below it; a proxy that calls what it is told may not.
	maxMethods = 500
)

// observer is one pass over each attempt of a call.
type observer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	red        *metrics.RED
	messages   *prometheus.CounterVec
	labels     *metrics.Values
	methods    sync.Map // full name -> *method, of those that labels lets through
	other      *method
}

func newObserver(o *Options) (*observer, error) {
	red, err := metrics.NewRED(o.Registerer, metrics.REDOptions{
		Name:   "rpc_client_call_duration_seconds",
		Help:   "Duration of outgoing remote procedure calls.",
		Labels: []string{"rpc_method", "rpc_response_status_code"},
	})
	if err != nil {
		return nil, err
	}
	messages, err := metrics.Register(o.Registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rpc_client_stream_messages_total",
		Help: "Messages of streaming outgoing remote procedure calls.",
	}, []string{"rpc_method", "direction"}))
	if err != nil {
		return nil, err
	}
	labels, err := metrics.NewValues(o.Registerer, "rpc_method", maxMethods)
	if err != nil {
		return nil, err
	}
	obs := &observer{
		propagator: o.Propagator, red: red, messages: messages, labels: labels, other: newMethod(rpc.Other),
	}
	if obs.propagator == nil {
		obs.propagator = propagation.TraceContext{}
	}
	tp := o.TracerProvider
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	obs.tracer = tp.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	return obs, nil
}

// attempt is one call over the wire.
type attempt struct {
	ctx    context.Context //nolint:containedctx // an attempt is a part of one call
	start  time.Time
	method *method
	span   trace.Span
}

// begin starts the span, and writes what goes along with the call.
func (o *observer) begin(ctx context.Context, full string, cc *grpc.ClientConn) attempt {
	a := attempt{start: time.Now(), method: o.method(full)}
	name := a.method.label
	if a.method == o.other {
		name = "grpc"
	}
	a.ctx, a.span = o.tracer.Start(ctx, name, a.method.start...)
	if a.span.IsRecording() {
		if a.method == o.other {
			a.span.SetAttributes(semconv.RPCMethodOriginal(rpc.Original(full)))
		}
		a.span.SetAttributes(serverAttributes(cc)...)
	}
	// A copy, where the caller has set some already.
	md, ok := metadata.FromOutgoingContext(a.ctx)
	if !ok {
		md = make(metadata.MD, 3)
	}
	correlation.Inject(a.ctx, rpc.Outgoing(md))
	o.propagator.Inject(a.ctx, rpc.Outgoing(md))
	a.ctx = metadata.NewOutgoingContext(a.ctx, md)
	return a
}

// end records what came of the attempt. A call that its own caller cancelled is no error of anybody's.
func (o *observer) end(a *attempt, err error) {
	defer a.span.End()
	code := status.Code(err)
	name := rpc.CodeName(code)
	o.seriesOf(a.method, code).Observe(a.ctx, time.Since(a.start))
	if !a.span.IsRecording() {
		return
	}
	a.span.SetAttributes(semconv.RPCResponseStatusCode(name))
	if code == codes.OK || code == codes.Canceled && errors.Is(a.ctx.Err(), context.Canceled) {
		return
	}
	a.span.SetStatus(otelcodes.Error, "")
	a.span.SetAttributes(semconv.ErrorTypeKey.String(name))
}
