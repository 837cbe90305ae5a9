package httpserver

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// samplingPriority is what the sampler of package tracing looks for. The name is OpenTracing's.
const samplingPriority = "sampling.priority"

// span is a request's span.
type span struct {
	trace.Span
	ours bool // it ends with the request; false where somebody outside has made it
}

// startOptions are made once. They have no attributes: most spans are not kept, and those of a request cost as much as
// all else that is done for it.
type startOptions struct {
	any    []trace.SpanStartOption
	forced []trace.SpanStartOption
	root   []trace.SpanStartOption
}

func newStartOptions() startOptions {
	server := trace.WithSpanKind(trace.SpanKindServer)
	return startOptions{
		any:    []trace.SpanStartOption{server},
		forced: []trace.SpanStartOption{server, trace.WithAttributes(attribute.Int(samplingPriority, 1))},
		root:   []trace.SpanStartOption{server, trace.WithNewRoot()},
	}
}

// startSpan starts the span, under the caller's where r names one that is trusted, or takes what is there already.
func (o *observer) startSpan(ctx context.Context, x *exchange, r *http.Request, trusted bool) context.Context {
	if outer := trace.SpanFromContext(ctx); isServer(outer) {
		x.span.Span = outer
		return ctx
	}
	remote := o.propagator.Extract(ctx, carrier{propagation.HeaderCarrier(r.Header)})
	if trusted {
		ctx = remote
	}
	if x.quiet {
		x.span.Span = trace.SpanFromContext(ctx) // the caller's: it is remote and records nothing
		return ctx
	}
	options := o.options.any
	switch {
	case !trusted:
		options = o.options.root
		if sc := trace.SpanContextFromContext(remote); sc.IsRemote() {
			options = append(slices.Clip(options), trace.WithLinks(trace.Link{SpanContext: sc}))
		}
	case o.trust != nil && forced(r.Header):
		options = o.options.forced
	}
	ctx, x.span.Span = o.tracer.Start(ctx, x.method.spanName(), options...)
	x.span.ours = true
	if x.span.IsRecording() {
		x.span.SetAttributes(requestAttributes(x.method, r, o.proxies)...)
	}
	return ctx
}

// isServer reports whether s is a server's span that somebody outside has started and will end: otelhttp, say. A span
// that tells no kind, as the API's own do, is none: the context of requests may stem from one that a program starts
// under.
func isServer(s trace.Span) bool {
	k, ok := s.(interface{ SpanKind() trace.SpanKind })
	return ok && k.SpanKind() == trace.SpanKindServer && s.IsRecording()
}

// endSpan gives the span what is known now. One of somebody else's gets the same, and goes on.
func (x *exchange) endSpan(out *outcome) {
	if x.span.ours {
		defer x.span.End()
	}
	if !x.span.IsRecording() {
		return
	}
	attrs := make([]attribute.KeyValue, 0, 3) // one call: each locks the span and may grow it
	attrs = append(attrs, semconv.HTTPResponseStatusCode(out.status))
	if out.route != "" {
		x.span.SetName(out.spanName)
		attrs = append(attrs, semconv.HTTPRoute(out.route))
	}
	if out.status >= http.StatusInternalServerError {
		x.span.SetStatus(codes.Error, "")
		attrs = append(attrs, semconv.ErrorTypeKey.String(out.code))
	}
	x.span.SetAttributes(attrs...)
}

// carrier spares the names that every request is asked for the way to canonical form.
type carrier struct{ propagation.HeaderCarrier }

func (c carrier) Get(key string) string {
	switch key {
	case "traceparent":
		key = "Traceparent"
	case "tracestate":
		key = "Tracestate"
	default:
		return c.HeaderCarrier.Get(key)
	}
	if values := c.HeaderCarrier[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func requestAttributes(m method, r *http.Request, proxies *Proxies) []attribute.KeyValue {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	attrs := make([]attribute.KeyValue, 0, 11)
	attrs = append(attrs,
		semconv.HTTPRequestMethodKey.String(m.String()), semconv.URLPath(r.URL.Path), semconv.URLScheme(scheme))
	if m.String() != r.Method {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(r.Method))
	}
	host, port := splitHostPort(r.Host)
	attrs = append(attrs, semconv.ServerAddress(host))
	if port > 0 {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	if host, port := splitHostPort(r.RemoteAddr); host != "" {
		attrs = append(attrs, semconv.NetworkPeerAddress(host), semconv.NetworkPeerPort(port))
	}
	if client := proxies.ClientAddr(r); client.IsValid() {
		attrs = append(attrs, semconv.ClientAddress(client.String()))
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
