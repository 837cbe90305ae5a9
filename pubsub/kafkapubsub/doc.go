// Package kafkapubsub is the Kafka adapter of package pubsub, on franz-go.
//
//	kafka, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
//	defer kafka.Close()
//	client := pubsub.NewClient(kafkapubsub.New(kafka, nil), nil)
//
// It takes the caller's client, publishes by it and leaves it open. A consumer group needs a client for each member:
// every subscription makes its own of the options of the caller's client, and closes it.
//
// # What it promises
//
// A topic that is missing is created by the first Declare, Publish or Subscribe, unless [Options.NoCreate] is set. One
// that exists is used as it is; one that differs from what [Options] ask for is an error that names the difference. After
// a topic was deleted, one Publish fails, and the next one creates it again.
//
// Publish returns once all replicas in sync have stored every message. The producer is idempotent: it neither
// duplicates nor reorders by its own retries. The message's key is the record's, so that the messages of one key are
// in one partition, in order. franz-go keeps a record for 10ms, in case more follow: a caller that waits for each message
// gives its client kgo.ProducerLinger(0). What exceeds the client's batch size is refused before it is sent, by its uncompressed
// size; a topic whose max.message.bytes is below the client's batch size is refused as a whole, since the client would
// make batches that the broker does not take: give the client kgo.ProducerBatchMaxBytesFn.
//
// A subscription is a consumer group with the cooperative-sticky balancer, shared by all processes that use the name.
// Package pubsub handles as many messages at once as its Concurrency says, whatever the number of partitions, and keeps
// the order of each key. Only the lowest unfinished offset of a partition is committed. When a partition goes to
// another process, handlers that run on it are waited for ([Options.RevokeTimeout]), what they did is committed, and only
// then is it let go; nothing is committed for it afterwards. So the order of a key holds across processes, but while a
// process that died, or that took longer, is being taken over.
//
// Of what the broker has, up to some thousand messages are here before they are received, so that handlers do not wait for a
// fetch; they are not acknowledged, and a process that ends gives them back. A subscription's client waits 500ms for a
// fetch at most (kgo.FetchMaxWait), since what is assigned to it meanwhile is fetched afterwards, and it sees after a
// minute at most that a topic has more partitions (kgo.MetadataMaxAge), which it then consumes from their start. What
// the caller's client has shorter, it has too. Other members learn that one has ended with their next heartbeat
// (kgo.HeartbeatInterval, 3s by default, and a third of [Options.SessionTimeout] at most).
//
// A released message is kept here and received again after its delay: nothing is fetched twice for it. A process that
// ends hands over what it has not acknowledged, and also what it has acknowledged beyond a message that it has not:
// after a crash those are handled once more.
//
// Messages travel in the CloudEvents Kafka binding, binary mode: attributes are headers, "ce_" where others have
// "ce-". So an attribute that is called "ce_x" arrives as "ce-x". A record without a value (a tombstone) is a message
// with nil Data, in both directions; an empty value is an empty one.
//
// A message for one subscription alone, a moved or redriven one, is in the topic TOPIC.retry.NAME, which the
// subscription's group reads as well. Its key's order is its own there.
//
// # What it does not
//
// Kafka has no leases: a message stays with the process that received it until the process settles it, loses the
// partition, or is gone for [Options.SessionTimeout]. Extending does nothing. Kafka counts no deliveries either, so
// Attempt begins at 1 again after a restart, and a message that kills its process is met again. It drops no duplicates
// beyond those of one producer's retries: the inbox does.
//
// A group that has no members is forgotten by the cluster after a while (offsets.retention.minutes, 7 days by default):
// a subscription that was away for longer is new. What topics keep, dead letters included, is their retention's matter.
package kafkapubsub
