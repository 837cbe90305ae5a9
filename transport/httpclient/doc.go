// Package httpclient calls HTTP services with what every call needs: the caller's correlation ID and trace, a token, a
// deadline, and where asked for a resilience policy.
//
//	users := httpclient.New("http://users:8080", &httpclient.Options{TokenSource: issuer, Audience: "users"})
//	user, err := contract.GetUser.Call(ctx, users, contract.GetUserRequest{ID: "42"})
//
// # What it promises
//
// Every attempt is one client span, whose context travels as W3C trace context, and one sample of
// http_client_request_duration_seconds; both end with the response's header. The label server_address has at most 100
// values before it says "__other__", and metrics_label_values_overflowed_total counts that. A response of 4xx or 5xx is an error to
// the span; a call that its own caller cancelled is none. The URL's query is in no span: it may hold secrets.
//
// The token goes to the base URL's origin alone. A redirect to another origin is not followed: it is the answer.
//
// A call ends within Timeout, reading the body included.
//
// # With a policy
//
// A response of 5xx, 408, 425 or 429 is a failure to the policy (501 and 505, which a second try would only repeat, are
// none), though the caller gets it as a response: the last attempt's, whose body is readable until it is closed. A
// connection that fails is one too. What was cancelled by its caller is not.
//
// A request is sent again only where that does no harm: its method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT,
// DELETE) or it has an Idempotency-Key, and its body can be read again (http.NewRequest sees to that for buffers and
// strings; set GetBody for a file). Other requests pass the policy's breaker and time-outs, once.
package httpclient
