package transport

// The names that the HTTP packages read and write, in canonical form. The correlation ID's is correlation.Header;
// gRPC metadata uses the same names in lower case.
const (
	// HeaderIdempotencyKey marks a request that may be sent again without a second effect
	// (draft-ietf-httpapi-idempotency-key-header).
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderRetryAfter says how long to wait before another try, in whole seconds or as a date (RFC 9110, 10.2.3).
	HeaderRetryAfter = "Retry-After"
	// HeaderRequestTimeout is how long the caller will wait for the answer, in whole milliseconds of at most ten digits (as
	// the Connect protocol's Connect-Timeout-Ms). A server works no longer than that; what is not of this form is ignored.
	HeaderRequestTimeout = "X-Request-Timeout-Ms"
	// HeaderTraceSample, with the value "1" and from a trusted caller, makes a server keep the span of the request and so
	// the rest of the trace, whatever the sampler says. Servers that trust nobody in particular ignore it.
	HeaderTraceSample = "X-Trace-Sample"
	// ContentTypeProblem is the media type of an error's body (RFC 9457).
	ContentTypeProblem = "application/problem+json"
	// ContentTypeJSON is the media type of every other body.
	ContentTypeJSON = "application/json"
)
