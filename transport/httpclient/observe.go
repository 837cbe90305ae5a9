package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

const scope = "github.com/mainstay-go/mainstay/transport/httpclient"

// ObserveOptions say where what is observed goes. The same fields are in [Options].
type ObserveOptions struct {
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator sends the trace along. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// Observe returns a layer that makes each request one client span and one sample of
// http_client_request_duration_seconds, and sends the context's correlation ID and trace along: see the package
// comment. Where no span is to be made, because something else makes one, give it a TracerProvider that does nothing.
//
// It panics where Registerer holds another metric of one of its names: a mistake that start-up shows. Nil options are
// defaults, nil base of the layer is http.DefaultTransport.
func Observe(o *ObserveOptions) func(base http.RoundTripper) http.RoundTripper {
	if o == nil {
		o = &ObserveOptions{}
	}
	obs, err := newObserver(*o)
	if err != nil {
		panic("httpclient: " + err.Error())
	}
	return func(base http.RoundTripper) http.RoundTripper { return &pass{base: orDefault(base), observer: obs} }
}

// observer takes span and metrics of each attempt.
type observer struct {
	tracer     trace.Tracer
	options    []trace.SpanStartOption
	propagator propagation.TextMapPropagator
	peers      *peers
}

func newObserver(o ObserveOptions) (*observer, error) {
	p, err := newPeers(o.Registerer)
	if err != nil {
		return nil, err
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = propagation.TraceContext{}
	}
	return &observer{
		tracer: o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		// Without attributes: most spans are not kept.
		options:    []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)},
		propagator: o.Propagator,
		peers:      p,
	}, nil
}

// attempt is one request on its way.
type attempt struct {
	span  trace.Span
	start time.Time
	op    *operation
}

// begin returns the context of the attempt alone, too.
func (o *observer) begin(r *http.Request) (context.Context, attempt) {
	a := attempt{start: time.Now(), op: o.peers.operation(r)}
	ctx, span := o.tracer.Start(r.Context(), a.op.spanName, o.options...)
	a.span = span
	if span.IsRecording() {
		span.SetAttributes(requestAttributes(r, a.op)...)
	}
	return ctx, a
}

func requestAttributes(r *http.Request, op *operation) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 7)
	address, port := addressOf(r.URL)
	attrs = append(attrs, semconv.HTTPRequestMethodKey.String(op.method.String()), semconv.ServerAddress(address))
	if port > 0 {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	attrs = append(attrs, semconv.URLFull(withoutQuery(r.URL)))
	if op.template != "" && op.template != metrics.Overflow {
		attrs = append(attrs, semconv.URLTemplate(op.template))
	}
	if op.method == methodOther {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(r.Method))
	}
	if n := resends(r.Context()); n > 0 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(n))
	}
	return attrs
}

// inject writes what goes along with the attempt.
func (o *observer) inject(ctx context.Context, h http.Header) {
	o.propagator.Inject(ctx, carrier{propagation.HeaderCarrier(h)})
	if id := correlation.FromContext(ctx); id != "" {
		h[correlation.Header] = []string{id}
	}
}

// carrier spares the name that every request gets the way to canonical form.
type carrier struct{ propagation.HeaderCarrier }

func (c carrier) Set(key, value string) {
	if key == "traceparent" {
		c.HeaderCarrier["Traceparent"] = []string{value}
		return
	}
	c.HeaderCarrier.Set(key, value)
}

func (o *observer) end(ctx context.Context, a *attempt, resp *http.Response, err error) {
	took := time.Since(a.start)
	defer a.span.End()
	var status int
	var failure string
	if err != nil {
		failure = errorType(ctx, err)
	} else {
		status = resp.StatusCode
	}
	out := o.peers.outcome(a.op, status, failure)
	out.series.Observe(ctx, took)
	if !a.span.IsRecording() {
		return
	}
	if status > 0 {
		a.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if out.errorType == "" {
		return
	}
	a.span.SetAttributes(semconv.ErrorTypeKey.String(out.errorType))
	switch {
	case failure == errCanceled: // the caller's own wish
	case err != nil:
		a.span.SetStatus(codes.Error, err.Error())
	default:
		a.span.SetStatus(codes.Error, "")
	}
}

// The values of error_type beside the status codes.
const (
	errCanceled = "canceled"
	errTimeout  = "timeout"
	errDNS      = "dns"
	errConnect  = "connect"
	errTLS      = "tls"
)

// errorType classifies an attempt that got no response. The context decides before the error, and its cause before it:
// a transport may say "canceled" of both a caller that left and a time-out of ours.
func errorType(ctx context.Context, err error) string {
	if ended := ctx.Err(); ended != nil {
		if errors.Is(ended, context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return errTimeout
		}
		return errCanceled
	}
	var dns *net.DNSError
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return errCanceled
	case errors.As(err, &dns):
		return errDNS // also where it took too long
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.As(err, &verify), errors.As(err, &record):
		return errTLS
	case errors.As(err, &op) && op.Op == "dial":
		return errConnect
	}
	return metrics.Other
}
