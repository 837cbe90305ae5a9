// Package tracing sets OpenTelemetry tracing up for a service: who it is, which traces it keeps, where they go, and how
// it stops.
//
//	tp, err := tracing.Setup(ctx, &tracing.Options{ServiceName: "orders", Exporter: exporter})
//	…
//	err = mainstay.Run(ctx, nil, tp, server) // first to start, last to stop: the others' last spans leave too
//
// What it promises: ending a span never waits for the exporter; spans waiting take bounded memory, and those that are
// lost are counted and logged; a collector that is down, slow or hung never holds the exit for longer than
// [Options].ShutdownTimeout, nor turns it into a failure. No global is set unless [Options].SetGlobal says so.
//
// What it does not: it brings no exporter, so that nobody links a protocol's client without using it; module
// tracing/otlp has the standard ones, and anything that is an sdktrace.SpanExporter will do. It makes no spans of its
// own. Metrics are scraped, see package metrics.
//
// # Who it is
//
// The resource of all spans is, each winning over those after it: what the options name; OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES, which the OpenTelemetry SDK adds to every resource, whatever it is given; what
// [Options].Detectors find; and a random service.instance.id. No detector fails a start or holds it for longer than 5s:
// the others' findings are kept.
//
// # Which traces it keeps
//
// [Options].Ratio decides for traces that begin here, their caller for those that do not. A span that starts with the
// attribute sampling.priority, an integer of 1 or more, is kept whatever they say, and so is what comes below it in
// other services: httpserver and grpcserver set it for trusted callers who ask for it.
//
// # What goes along with a call
//
// [Provider.Propagator] is for the Propagator field of the kit's options. W3C trace context is always there, and of
// W3C Baggage the keys in [Options].Baggage: what one library sets for itself does not leave the company with the next
// call. Other formats are values in [Options].Propagators, of packages below go.opentelemetry.io/contrib/propagators
// that cost those alone who import them:
//
//	b3.New()          // b3: the header b3; with b3.WithInjectEncoding(b3.B3MultipleHeader) X-B3-TraceId and so on
//	jaeger.Jaeger{}   // jaeger: uber-trace-id
//	xray.Propagator{} // aws/xray: X-Amzn-Trace-Id; works, and is no longer supported by contrib as of v1.47.0
//
// OpenTelemetry has none for Datadog's own headers, x-datadog-trace-id and its relatives, and Datadog has none for
// OpenTelemetry's interface. None is needed beside its current libraries, which send and take W3C trace context too,
// unless DD_TRACE_PROPAGATION_STYLE leaves tracecontext out. For those that know their own headers only there are
// propagators by others, which this project has not tried.
//
// # The environment
//
// No other variable has an effect here, but OTEL_SPAN_* where [Options].Limits is sdktrace.NewSpanLimits(), which reads
// them. The exporters of module tracing/otlp read theirs.
//
// Nothing else imports the SDK: the rest of the kit takes a trace.TracerProvider, which any set-up can fill.
package tracing
