// Package logging sets log/slog up for a service: JSON lines, a level that can change at run time, for all or by the
// logger's name ([Levels]), and on every record the IDs that join it with its request.
//
//	level := new(slog.LevelVar)
//	log := logging.New(os.Stderr, &logging.Options{Level: level})
//	log.InfoContext(ctx, "paid", "amount", 5)
//	// {"time":"…","level":"INFO","msg":"paid","correlation_id":"c-1","trace_id":"4b…","span_id":"00…","amount":5}
//
// There is no logger type of its own: what comes back is a *slog.Logger, and [Handler] works over any slog.Handler.
//
// OpenTelemetry's bridge for logs is one more handler, of go.opentelemetry.io/contrib/bridges/otelslog, which this
// module does not require:
//
//	log := logging.New(os.Stdout, &logging.Options{Also: []slog.Handler{otelslog.NewHandler("orders")}})
//
// Lines of the standard log package come along by means of the standard library, one record each, without the IDs,
// because they have no context: slog.SetDefault(log) takes those of log.Print, at Info, and
// slog.NewLogLogger(log.Handler(), slog.LevelWarn) is a *log.Logger for what asks for one, as http.Server does.
//
// What it promises: correlation_id, trace_id and span_id (the names that the OpenTelemetry specification gives for logs
// in other formats; [Options].Fields has those of Google Cloud and Datadog) are at the top level, each once, whatever
// groups the logger has opened and whatever it was derived from; the value of an attribute whose key says secret is not
// written (see [Options].Redact).
//
// What it does not: it does not look for secrets in messages, in errors, nor inside structs and maps. Wrap those in a
// [Secret] where they are read. Records without a context (Info, for InfoContext) have no IDs: there is nowhere to take
// them from. It samples nothing unless [Options].Sample says so, and sends nothing by itself.
//
// It takes 0.6 times as long as a slog.JSONHandler whose callers write the same line by hand, about 1.1 times where
// groups are open (BenchmarkRatio), and one allocation for the IDs where that takes three: a line with nothing to escape
// and no groups is written here, byte for byte as slog.JSONHandler would, all others are that handler's.
package logging
