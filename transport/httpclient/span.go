package httpclient

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

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
