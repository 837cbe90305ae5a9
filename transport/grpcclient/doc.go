// Package grpcclient makes gRPC connections whose calls carry what every call needs: the caller's correlation ID and
// trace, a token, a deadline, and where asked for a resilience policy.
//
//	conn, err := grpcclient.New("catalog:9090", &grpcclient.Options{TokenSource: issuer, Audience: "catalog"})
//	product, err := catalogpb.NewCatalogClient(conn).GetProduct(ctx, req)
//
// A connection that is made elsewhere takes the same as an interceptor: see [Intercept].
//
// # What it promises
//
// Every attempt of a call is one client span, whose context travels as W3C trace context, and one sample of
// rpc_client_call_duration_seconds, whose method label has at most 500 values before it says "_OTHER" and
// metrics_label_values_overflowed_total counts. Any code but OK
// is an error to the span; a call that its own caller cancelled is none. A stream is observed until its end, however it
// comes, and rpc_client_stream_messages_total counts its messages.
//
// A unary call ends within Timeout where its context has no deadline. No call outlasts its caller's deadline, whatever
// the options say.
//
// An error has a *transport.Error in its chain, the one that the server sent, and package status finds the status in
// it. Remote is false where the call ended because its own context did; the error then matches the context's error. A
// message that gRPC itself may have written (it tells of addresses) is only in the error's text, for the log; the
// transport.Error's own message, which a server may send on to its caller, then says no more than the code.
//
// A token goes over TLS only, unless the options say Insecure.
//
// The connection spreads calls over all addresses that the target's name has, leaves out those whose health service
// says NOT_SERVING, and comes back to a lost server within about 5s. It learns of new addresses when a connection ends:
// see MaxConnectionAge of grpcserver.
//
// # Beside otelgrpc
//
// otelgrpc's stats handler begins its span below an interceptor, so that a call has two. Give the kit a TracerProvider
// that does nothing (go.opentelemetry.io/otel/trace/noop), and there is one, otelgrpc's.
//
// # Without a policy
//
// What Options.ServiceConfig says is done by the library: retries of unary calls and of streams that have no message
// yet, time-outs, waiting for a connection. All its attempts are one span and one sample.
//
// # With a policy
//
// Calls fail fast: while no server is connected they are Unavailable, which the policy counts, and repeats only for
// methods that Options.Idempotent names, since a failed call may have had its effect. What certainly never reached a
// handler is sent again by the library itself, policy or not. A policy that refuses a call makes it Unavailable, and
// the error matches resilience.ErrOpen; such a call is neither a span nor a sample, for nothing was called. What its
// caller cancelled is no failure; NotFound and its like are the answers of a server that works. Streams do not pass the
// policy.
//
// Where the policy hedges (resilience.Options.Hedge), methods that Options.Idempotent names are called a second time
// beside a first try that takes long. Each try has a span, a sample and a token of its own, and a reply of its own: the
// caller gets the reply, the header, the trailer and the peer of the faster one; the slower one is cancelled, and has
// ended when the call returns. A function given as grpc.OnFinish runs for each try, perhaps at the same time. The
// library itself hedges nothing: its service config has no such policy.
//
// # What it does not do
//
// No xDS.
package grpcclient
