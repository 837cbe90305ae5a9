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
// The OpenTelemetry SDK reads some of its environment variables by itself: OTEL_RESOURCE_ATTRIBUTES adds to the
// resource (the options win), OTEL_*_COUNT_LIMIT and OTEL_*_LENGTH_LIMIT bound what one span holds. The variables for
// the sampler and the batches have no effect here.
//
// Nothing else imports the SDK: the rest of the kit takes a trace.TracerProvider, which any set-up can fill.
package tracing
