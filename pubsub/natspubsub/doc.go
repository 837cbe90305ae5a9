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
// [Options.Stream] says; a stream that exists is used as it is, whatever its name, and a warning names where it keeps less
// than that: fewer subjects, another retention, lower limits, a shorter duplicate window. Publish returns once the server
// has stored every message. The server drops a second copy of a message, by its ID and topic, within the stream's
// duplicate window. A message that exceeds the server's payload limit or the stream's, headers included, is refused
// before it is sent. Messages of one key in one call are sent one after the other, each once the one before it is
// stored: a connection that breaks in between may lose one and still store the next, and so may a stream whose leader
// changes. Those of different keys, or of none, do not wait: up to 256 of a call are on their way unconfirmed. Once one
// has failed, or the context has ended, no more are sent.
//
// A subscription is a durable pull consumer, shared by all processes that use the name. One that exists goes on
// where it was. Its acknowledgement wait is the lease. It has no delivery limit, since package pubsub dead-letters
// with a copy where the server would drop without one, and no limit of unacknowledged messages, because each process
// bounds its own: a shared bound would let one stuck process starve the others. A consumer that this package made
// follows the subscription, and what is changed of it is logged; one that somebody else made is left as it is, and
// refused, field by field, where it does not fit. A stream is never changed; to one that confirms nothing (NoAck)
// nothing is published. A consumer or stream that somebody deletes is created again, from the first message that this
// process has not seen.
//
// What is redelivered to one subscription alone (a message whose next attempt is far away, a dead letter that is put
// back) goes through a subject of its own in the topic's stream, "TOPIC.$redeliver.NAME". Streams that this package
// makes hold it. Add "TOPIC.$redeliver.>" to the subjects of one that you made; without it redelivery is refused,
// with those words, and everything else works.
//
// Acknowledgements are confirmed to have reached the server, not to have been replicated; [Options.ConfirmAcks] asks
// for more. One that gets lost costs a redelivery.
//
// Messages travel in the CloudEvents NATS binding, binary mode: attributes are headers, percent-encoded where the
// binding says so.
//
// # Order across processes
//
// Within one process package pubsub keeps the order of a key. Two processes of a subscription may hold messages of
// one key at the same time, unless it asks for order (pubsub.SubscriptionOptions.OrderAcrossReplicas). Then the
// server pins the consumer to one process at a time (a priority group, nats-server 2.11 or newer) and the others
// stand by: it is order and takeover, not more throughput. One that stops hands over at once; one that dies is
// replaced two leases after its last sign of life, so give such a subscription a short lease. What it held goes
// first, in order. The order of a key may break while one is taken over that is stopped but not dead, or whose
// messages wait for another attempt, and by redelivery. Let all processes of a subscription agree: the last one that
// opens it decides.
//
// # What it does not
//
// Servers older than 2.10 are not covered: they have no metadata of consumers. Core NATS, at most once, is a
// publisher of its own, [LossyPublisher]. Limits of a stream apply whether or not everybody has read: a subscription
// that is away for longer than the stream keeps messages misses some, and a dead letter that nobody looks at within
// that time is gone. Give the streams of dead letters a longer age by [Options.Stream].
package natspubsub
