// Package httpserver serves HTTP with what every service needs and nobody wants to write twice: bounded time-outs and
// bodies, a drain, authentication, and one pass that observes each request.
//
//	srv := httpserver.New(mux, &httpserver.Options{Addr: ":8080", Verifier: verifier})
//	err := srv.Run(ctx) // until ctx ends and what runs has drained
//
// # What it promises
//
// Every request gets a correlation ID (the caller's where it is well formed, else a new one), which its context, its
// response and its log lines carry; a server span that continues the caller's W3C trace; one sample of
// http_server_request_duration_seconds and its place in http_server_active_requests; one access log line; and an answer
// even when its handler panics. The four agree on the status, since one layer takes them.
//
// Every request is authenticated: a bad token is refused wherever it goes, and a request without one passes only to
// what is public (see [Options].Verifier). A server without a Verifier does not start unless its options say
// Unauthenticated.
//
// Everything is bounded: header, body, connections, the time for each part of a request, and the time that a handler has
// until its answer is on its way. A stream is bounded by progress: it may be silent and last for ever, but a reader that
// takes nothing for WriteTimeout is cut off.
//
// When the context of Run ends, the server closes its listener, tells long streams ([Draining]), waits for the requests
// that run, and cuts off what is left after DrainTimeout; a [*DrainError] counts that. No request is lost whose
// connection was accepted, with one exception that HTTP/1 makes: a client may send on a connection that it keeps alive
// at the very moment in which the server closes it for being idle. [Server.Drain], a little earlier, sends such clients
// away first; mainstay.Run calls it, and its DrainDelay is the little.
//
// # Labels, names, levels
//
// The method label is one of the methods of RFC 9110 and PATCH, else "_OTHER". The route is the pattern that matched,
// without its method and host, as http.ServeMux or an httpapi endpoint tells; where none matched it is "", which is an
// absent label to Prometheus, as the semantic conventions have it. A request whose caller went away before its answer
// has status 499 and is no error. A panic after the header was written is status 500 whatever was sent, and breaks the
// connection, so that the caller cannot take the half for the whole. The access log is at level info, and at error for
// 5xx. Spans have no query string: it may hold secrets. A sampler is shown a span's kind and its method as the name, no
// path: what to leave out by path is for [ObserveOptions].Quiet to say.
//
// However strangers vary paths, methods, hosts and headers, http_server_request_duration_seconds has at most
// (routes + 1) × 10 methods × statuses that handlers send series of buckets, and http_server_active_requests has 10.
// Past 1,000 routes, which only a [ObserveOptions].Route function can make, the route is "__other__", and
// metrics_label_values_overflowed_total counts.
//
// # Whose word counts
//
// A correlation ID and a trace are what a caller says they are. Without a Trust function everybody is taken at their
// word. With one, a caller that it does not vouch for gets a new correlation ID and a new trace whose first span links
// to theirs, and their baggage goes no further. A trusted caller can ask for a trace to be kept with the header
// X-Trace-Sample: 1 ([transport.HeaderTraceSample]): the span starts with the attribute sampling.priority, 1, which the
// sampler of package tracing obeys. That header does nothing without a Trust function. What traceparent says of sampling
// is taken then, as all of the trace is, so that a stranger's sampled trace is kept: set Trust where strangers call.
//
// # Beside another instrumentation
//
// Inside a handler that has started a span of kind server, as otelhttp's does, a request gets no second span: the one
// that is there gets the route, the status and the error, and its owner ends it. Its sampling has been decided, and the
// caller's trace read, by then. The SDK's spans tell their kind; one that does not becomes the parent of a second.
//
// # What it does not do
//
// No routing (http.ServeMux does), no HTTP/3; no CORS, no compression and no defence against cross-site requests, which
// others do well.
//
// # The order of layers
//
// Outermost first, with those of others in their places:
//
//	Observe                           all that is refused further in is counted and logged
//	SecureHeaders                     refusals have them, too
//	github.com/rs/cors                a preflight has no token; refusals without CORS headers are unreadable to a browser
//	http.CrossOriginProtection        after CORS, by the same list of origins
//	klauspost/compress/gzhttp         hides the mux from what is outside of it
//	Shed                              before the work of checking a token
//	Authenticate
//	RateLimit                         by the caller, who is known now; one by address goes before Authenticate
//	Deadline                          for a part of the mux, around its handlers
//	http.ServeMux
//
// A [Server] is Observe and Authenticate around its handler; [Options].BeforeAuth is what comes between. The layers of
// this package can be seen through, so that a mux below them still tells what is public and which requests are probes.
// Those of others hide it, and belong outside of Authenticate and Shed.
//
// All but [Server] fit servers that are not of this package.
package httpserver
