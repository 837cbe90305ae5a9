// Package grpcserver serves gRPC with what every service needs and nobody wants to write twice: bounded messages and
// time, health, a drain, authentication, and one pass that observes each call.
//
//	srv := grpcserver.New(&grpcserver.Options{Addr: ":9090", Verifier: verifier})
//	catalogpb.RegisterCatalogServer(srv, catalog)
//	err := srv.Run(ctx) // until ctx ends and what runs has drained
//
// A server that is there already takes the pass as interceptors: see [Observe] and [Authenticate].
//
// # What it promises
//
// Every call, unary or streaming, gets a correlation ID (the caller's where it is well formed, else a new one), which
// its context, its header (its trailer, where it fails before it has one) and its log line carry; a server span that
// continues the caller's W3C trace; one sample of rpc_server_call_duration_seconds and its place in
// rpc_server_active_calls; one access log line; and an answer even when its handler panics or ends its goroutine. They
// agree on the code, since one layer takes them. The messages of a stream are counted by
// rpc_server_stream_messages_total, and in its log line. Whose correlation ID and trace are continued is said by
// Options.Trust: everybody's by default.
//
// In a server that otelgrpc observes already, as a stats handler, a call stays one span: that of otelgrpc, which the
// pass uses and leaves to its owner.
//
// Every call is authenticated before its request is read: see [Authenticate]. A server without a Verifier does not
// start unless its options say Unauthenticated. A message that has a method Validate() error is asked before a handler
// gets it: see [Validate].
//
// Handlers return errors as everywhere in the kit: a transport.Error crosses with its code, message, fields (as
// google.rpc.BadRequest) and delay (as google.rpc.RetryInfo), cut where they would not fit into a header; an error with
// a status of its own (package status) is sent as it is; any other by the rules of transport.AsError, which tell the
// caller nothing of it. A panic is Internal.
//
// The health service (grpc.health.v1) says SERVING, for the server and each service, from the time that it listens
// until Drain or the end of Run's context; then NOT_SERVING for good. With Options.Health it says so while the checks
// of the process pass, or those that a service needs. Its calls are open to anybody, and are not observed.
//
// When the context of Run ends, the server closes its listener, tells long streams ([Draining]), ends health watches,
// waits for the calls that run, and cuts off what is left after DrainTimeout.
//
// # The order of layers
//
// Outermost first:
//
//	Observe                           all that is refused further in is counted and logged
//	Shed                              before the work of checking a token
//	Authenticate
//	RateLimit                         by the caller, who is known now; one by address goes before Authenticate
//	Deadline                          for what has less time than the rest
//	Validate                          what is refused by a layer before need not be looked at
//
// A [Server] is Observe, Authenticate and Validate around its services. Options.BeforeAuth is what comes between the
// first two, Options.Interceptors what comes behind the second: of a unary call behind the third, too, since a request
// is validated when it is read. All but [Server] fit servers that are not of this package.
//
// # Labels, names, levels
//
// The method label is "package.Service/Method" of a registered method, else "_OTHER"; what the caller wrote is in the
// span and the log. The code label is that of gRPC's statuscodes.md, such as "NOT_FOUND". A failure is Unknown,
// DeadlineExceeded, Unimplemented, Internal, Unavailable and DataLoss, by the semantic conventions: its span is an
// error, and its access log line is at level error, others at info. A call whose caller went away before its answer is
// CANCELLED, whatever became of the handler, and no failure; one whose time ran out is DEADLINE_EXCEEDED, whichever
// side noticed first; one that the server cut off is UNAVAILABLE. What callers make up makes no series: there are at
// most 17 of the duration (one a code) for each registered method and for "_OTHER", and one or two of the other
// metrics. rpc_server_active_calls and rpc_server_stream_messages_total have no twin in the conventions yet.
//
// # What it does not do
//
// Nothing that a caller could ask it about itself, unless it is registered: reflection.RegisterV1 takes a Server, and so
// does RegisterChannelzServiceToServer; a rule says who may ask. Package channelz below shows the same on a private HTTP
// port. No gRPC-Web, no xDS.
package grpcserver
