package grpcserver

import (
	"context"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/peer"

	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// samplingPriority is what the sampler of package tracing looks for. The name is OpenTracing's.
const samplingPriority = "sampling.priority"

// startSpan returns a context with the call's span in it.
func (o *observer) startSpan(ctx context.Context, c *call, trusted bool) context.Context {
	if c.span = serverSpan(ctx); c.span != nil {
		c.lent = true
		return ctx
	}
	theirs := o.propagator.Extract(ctx, rpc.Incoming{Ctx: ctx})
	opts := c.method.start
	switch {
	case trusted && o.trust != nil && rpc.WantsSample(ctx):
		opts = append(opts[:len(opts):len(opts)], trace.WithAttributes(attribute.Int(samplingPriority, 1)))
	case !trusted:
		if sc := trace.SpanContextFromContext(theirs); sc.IsRemote() {
			opts = append(opts[:len(opts):len(opts)], trace.WithLinks(trace.Link{SpanContext: sc}))
		}
		theirs = ctx
	}
	ctx, c.span = o.tracer.Start(theirs, c.spanName(), opts...)
	if c.span.IsRecording() {
		c.span.SetAttributes(c.attributes(ctx)...)
	}
	return ctx
}

// serverSpan returns the span that another layer of this server has begun for the call, nil where there is none: one
// of this process, and not of a kind that is made within a call.
func serverSpan(ctx context.Context) trace.Span {
	span := trace.SpanFromContext(ctx)
	if sc := span.SpanContext(); !sc.IsValid() || sc.IsRemote() {
		return nil
	}
	if kind, ok := span.(interface{ SpanKind() trace.SpanKind }); ok && kind.SpanKind() != trace.SpanKindServer {
		return nil
	}
	return span
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

// endSpan ends the span, where it is ours.
func (c *call) endSpan(out *outcome) {
	if c.span == nil || c.lent {
		return
	}
	defer c.span.End()
	if !c.span.IsRecording() {
		return
	}
	if !out.failed {
		c.span.SetAttributes(semconv.RPCResponseStatusCode(out.code))
		return
	}
	c.span.SetStatus(otelcodes.Error, "")
	c.span.SetAttributes(semconv.RPCResponseStatusCode(out.code), semconv.ErrorTypeKey.String(out.code))
}
