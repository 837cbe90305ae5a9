// Package httpclient calls HTTP services with what every call needs: the caller's correlation ID and trace, a token, a
// deadline, and where asked for a resilience policy.
//
//	users := httpclient.New("http://users:8080", &httpclient.Options{TokenSource: issuer, Audience: "users"})
//	user, err := contract.GetUser.Call(ctx, users, contract.GetUserRequest{ID: "42"})
//
// # Layers
//
// An http.Client that is there already takes the parts of it one by one, each a RoundTripper around the next. This is
// the order of [Client], outermost first; leave out what is not wanted:
//
//	rt := httpclient.NewPool(nil)
//	client.Transport = httpclient.LimitResponse(8 << 20)(
//		httpclient.Guard(policy)( // below it is done for each attempt
//			httpclient.Observe(nil)(
//				httpclient.Authorize(issuer, "users")(
//					httpclient.Deadline(rt)))))
//
// Correlation IDs alone are tracing/correlation's Transport; [Observe] sends them too.
//
// # What it promises
//
// Every attempt is one client span, whose context travels as W3C trace context, and one sample of
// http_client_request_duration_seconds; both end with the response's header. A response of 4xx or 5xx is an error to
// the span; a call that its own caller cancelled is none. The URL's query is in no span, and in no error of a [Client]:
// it may hold secrets.
//
// No label is a path. The label url_template, and the span's name, is the request's Pattern, which the calls of httpapi
// set; set it to something like "/users/{id}" in requests of your own. Up to 500 templates and up to 100 servers
// (server_address with server_port) have series of their own; past that the label is "__other__", and
// metrics_label_values_overflowed_total counts it.
//
// The token goes to the base URL's origin alone. A redirect to another origin is not followed: it is the answer.
//
// A call ends within Timeout, reading the body included, and the server is told how long that is: see [Deadline].
//
// # With a policy
//
// A response of 5xx, 408, 425 or 429 is a failure to the policy (501 and 505, which a second try would only repeat, are
// none), though the caller gets it as a response: the last attempt's, whose body is readable until it is closed. A
// connection that fails is one too. What was cancelled by its caller is not.
//
// A request is sent again only where that does no harm: its method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT,
// DELETE; RFC 9110, 9.2.2) or it has an Idempotency-Key, and its body can be read again (http.NewRequest sees to that
// for buffers and strings; set GetBody for a file). Other requests pass the policy's breaker and time-outs, once. A
// Retry-After of the response, in seconds or as a date, is waited for, up to the policy's MaxRetryAfter; where it asks
// for more, the response is the answer.
//
// Where the policy hedges (resilience.Options.Hedge), a request that may be sent again is sent a second time beside a
// first try that takes long. Each try has a span and a token of its own; the slower one is cancelled, and its response
// closed. Two tries end when a response's header is there, not with the body.
//
// The policy's time for an attempt ends with the response's header, that of the whole call with its body. A redirect is
// a call of its own to the policy.
//
// # Beside otelhttp
//
// Where otelhttp's transport is below this package's layers, or above them, both make a span. Give this one a
// TracerProvider that does nothing (go.opentelemetry.io/otel/trace/noop), and there is one, otelhttp's; metrics,
// correlation and all else stay.
package httpclient
