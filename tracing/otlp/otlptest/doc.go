// Package otlptest receives spans in tests as a collector does, over OTLP: OpenTelemetry's own service definition over
// gRPC, and the same over HTTP in protobuf.
//
//	r := otlptest.NewReceiver(t)
//	exporter, err := otlp.NewGRPC(ctx, &otlp.Options{Endpoint: r.GRPCURL()})
//	… run the service …
//	spans, err := r.Wait(ctx, func(spans []otlptest.Span) bool { return len(spans) == 3 })
//
// It is also the collector that nobody wants: [Receiver.Close] takes it down, and with [Receiver.Answer] it hangs or
// refuses.
//
// What it does not: it takes no metrics and no logs, and no JSON; it checks no span beyond the protocol.
package otlptest
