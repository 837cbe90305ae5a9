package grpcserver

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// call is what one call needs.
type call struct {
	*method
	original string // the method's full name, where it is not registered
	start    time.Time
	span     trace.Span // nil until it began
	lent     bool       // the span is that of somebody around us, who ends it
	stream   *observedStream
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

func (c *call) begin() {
	c.start = time.Now()
	c.active.Inc()
}

// adopt takes what a trusted caller sent of itself, or makes it anew: the correlation ID, and the trace that the span
// belongs to.
func (o *observer) adopt(ctx context.Context, c *call) context.Context {
	trusted := o.trust == nil || o.trust(ctx)
	var id string
	if trusted {
		id = rpc.CorrelationID(ctx)
	} else {
		id = correlation.New()
	}
	// It fails where an interceptor before this one has sent the header: then there is no echo.
	_ = grpc.SetHeader(ctx, metadata.MD{correlation.Key: {id}})
	return o.startSpan(correlation.NewContext(ctx, id), c, trusted)
}

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
		opts = append(opts[:len(opts):len(opts)], trace.WithAttributes(attribute.Int("sampling.priority", 1)))
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

// end records what came of the call, and returns the error to be sent.
func (o *observer) end(ctx context.Context, c *call, err error) error {
	took := time.Since(c.start)
	sent := o.sent(ctx, c, err)
	name := rpc.CodeName(sent.Code())
	o.seriesOf(c.method, sent.Code()).Observe(ctx, took)
	c.endSpan(sent.Code(), name)
	o.log(ctx, c, sent.Code(), name, took, err)
	c.active.Dec()
	if c.panicked.exited() {
		abandon(ctx, sent)
	}
	if sent == nil || err == nil {
		return sent.Err() // nil of nil; a panic leaves no error
	}
	return rpc.Wrap(err, sent)
}

// sent returns what the caller is told, nil for success.
func (o *observer) sent(ctx context.Context, c *call, err error) *status.Status {
	if c.panicked != nil {
		return sentForPanic()
	}
	cutOff := o.cutOff.Load()
	if answered := c.answered.Load(); answered != nil && !(cutOff && answered.Code() == codes.Canceled) {
		return answered
	}
	return outcome(ctx, err, cutOff)
}

func (c *call) endSpan(code codes.Code, name string) {
	if c.span == nil || c.lent {
		return
	}
	defer c.span.End()
	if !c.span.IsRecording() {
		return
	}
	if !isFailure(code) {
		c.span.SetAttributes(semconv.RPCResponseStatusCode(name))
		return
	}
	c.span.SetStatus(otelcodes.Error, "")
	c.span.SetAttributes(semconv.RPCResponseStatusCode(name), semconv.ErrorTypeKey.String(name))
}

func (o *observer) log(ctx context.Context, c *call, code codes.Code, name string, took time.Duration, cause error) {
	level := slog.LevelInfo
	if isFailure(code) {
		level = slog.LevelError
	}
	handler := o.logger.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	// Not by the logger, which would look up who calls it: it always is this line.
	line := slog.NewRecord(c.start.Add(took), level, "call", 0)
	line.AddAttrs(
		slog.String(correlation.Attr, correlation.FromContext(ctx)),
		slog.String("method", c.label),
		slog.String("code", name),
		slog.Duration("duration", took))
	if c.stream != nil {
		line.AddAttrs(
			slog.Int64("received", c.stream.received.Load()),
			slog.Int64("sent", c.stream.sent.Load()))
	}
	if c.original != "" {
		line.AddAttrs(slog.String("method_original", rpc.Original(c.original)))
	}
	if cause != nil {
		line.AddAttrs(slog.String("error", cause.Error()))
	}
	if p := c.panicked; p != nil {
		line.AddAttrs(slog.Any("panic", p.value), slog.String("stack", p.stack))
	}
	_ = handler.Handle(ctx, line) // as a logger does: there is nobody to tell
}
