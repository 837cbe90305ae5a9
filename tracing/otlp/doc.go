// Package otlp exports spans over the OpenTelemetry protocol, OTLP: to a collector, or to whatever takes what a
// collector takes. Its exporters are for the Exporter field of tracing.Options.
//
//	exporter, err := otlp.NewGRPC(ctx, nil) // to where the environment says
//	tp, err := tracing.Setup(ctx, &tracing.Options{ServiceName: "orders", Exporter: exporter})
//
// They are those of OpenTelemetry (otlptracegrpc and otlptracehttp), with options that are checked at the start. A
// module of its own, so that only who exports this way links them. Both link gRPC.
//
// # What it promises
//
// An exporter connects at its first export and again whenever the connection is gone. It repeats an export that the
// collector was too busy for, or over gRPC not there for: after some 5s at first, for a minute at most, and no longer
// than its caller's context lasts, which package tracing ends after 10s. An export is 64 MiB at most. An exporter is
// for one tracing.Provider, which owns it and shuts it down; whoever has no Provider calls Shutdown.
//
// With a collector that is down, slow or hung, all promises of package tracing stand: no span waits, the exit is
// bounded, losses are counted.
//
// # The environment
//
// OpenTelemetry's exporters read these variables, once, in NewGRPC and NewHTTP; no other package of the kit does. One
// with TRACES in its name wins over the one without, and [Options] win over both.
//
//   - OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: a URL as in [Options].Endpoint, but that NewHTTP
//     uses the path of the latter as it is, and NewGRPC takes gRPC targets as well, such as "dns:///collector:4317".
//   - OTEL_EXPORTER_OTLP_INSECURE, OTEL_EXPORTER_OTLP_TRACES_INSECURE: "true" means no TLS, and anything else TLS,
//     whatever the environment's endpoint says.
//   - OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TRACES_HEADERS: "key=value,key=value", percent-encoded.
//   - OTEL_EXPORTER_OTLP_COMPRESSION, OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: "gzip", or none.
//   - OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: milliseconds that an export may take with all its
//     repetitions (over HTTP: one request), 10000 if unset. Package tracing has its own 10s around that.
//   - OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_KEY and the
//     three with TRACES: PEM files. Beside them NewGRPC speaks TLS whatever else is said, and NewHTTP refuses http.
//   - OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: NewHTTP sends JSON for "http/json", protobuf for
//     anything else. It does not choose between gRPC and HTTP: the program does, by the function that it calls.
//   - OTEL_GO_X_OBSERVABILITY: an experiment of theirs, metrics about the exporter.
//
// Proxies are taken from HTTPS_PROXY and its relatives, as by net/http. A variable that does not parse, or a file that
// cannot be read, is reported to OpenTelemetry's global logger, which writes to standard error, and is as if unset.
//
// # What it does not
//
// It exports no metrics and no logs. Where a collector takes a part of an export only, or takes it with a warning, the
// Provider counts all its spans as lost: Lost is then too high. Over HTTP, idle connections outlive the exporter, by
// 90s at most.
package otlp
