// Package natspubsub is the NATS JetStream adapter of package pubsub.
//
//	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
//	js, err := jetstream.New(nc)
//	client := pubsub.NewClient(natspubsub.New(js, nil), nil)
//
// It takes the caller's connection and leaves it open. Give the connection endless reconnects, as above: an adapter
// cannot revive one that has given up.
//
// # What it promises
//
// A topic is a subject. Where no stream holds the subject, the first Declare, Publish or Subscribe creates one, as
// [Options.Stream] says; a stream that exists is used as it is, whatever its name. Publish returns once the server
// has stored every message. The server drops a second copy of a message, by its ID and topic, within the stream's
// duplicate window. A message that exceeds the server's payload limit or the stream's, headers included, is refused
// before it is sent.
//
// A subscription is a durable pull consumer, shared by all processes that use the name. One that exists goes on where
// it was; the adapter sets its acknowledgement wait to the lease, and takes away its delivery limit, since package
// pubsub dead-letters with a copy where the server would drop without one. It also lets the number of unacknowledged
// messages be unbounded at the server, because each process bounds its own: a shared bound would let one stuck process
// starve the others. A consumer or stream that somebody deletes is created again, from the first message that this
// process has not seen.
//
// Acknowledgements are confirmed to have reached the server, not to have been replicated. One that gets lost costs a
// redelivery.
//
// Messages travel in the CloudEvents NATS binding, binary mode: attributes are headers, percent-encoded where the
// binding says so. JetStream has no order by key across consumers: two processes may hold messages of one key at the
// same time. Within one process package pubsub keeps the order.
//
// # What it does not
//
// Core NATS, fire and forget, is not covered. Servers older than 2.10 are not: they have no metadata of consumers.
// Limits of a stream apply whether or not everybody has read: a subscription that is away for longer than the stream
// keeps messages misses some, and a dead letter that nobody looks at within that time is gone. Give the streams of
// dead letters a longer age by [Options.Stream].
package natspubsub
