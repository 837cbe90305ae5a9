// Package correlation carries one ID from the first request to the last log line that it causes.
//
// An ID is adopted when it is well formed and minted otherwise: a UUIDv7 (RFC 9562 section 5.7), so that IDs sort by
// time. The package is useful alone and imports the standard library and github.com/google/uuid only.
//
//	server.Handler = correlation.Handler(mux)               // in: adopt or mint, echo; see Trust where strangers call
//	client.Transport = &correlation.Transport{}             // out: pass on
//	slog.InfoContext(ctx, "paid", correlation.Attr, correlation.FromContext(ctx))
//
// Whatever the transport, the three steps are the same: [Extract] or [Adopt] where work comes in, the context on the
// way through, [Inject] where work goes out. gRPC and broker carriers live with their packages.
//
// The ID says what all of it belongs to. Which message made another one be published is what [WithCause] says.
//
// What it promises: the ID in a context is well formed, whoever sent it, and so cannot break a log line, forge a
// header or fill a disk. What it does not: an ID is no secret and proves nothing. Callers choose it, two of them may
// choose the same, so do not authorise, deduplicate or bill by it.
package correlation
