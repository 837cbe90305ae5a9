// Package sqspubsub is the Amazon SNS and SQS adapter of package pubsub.
//
//	queues := sqs.NewFromConfig(config) // for another endpoint: func(o *sqs.Options) { o.BaseEndpoint = … }
//	topics := sns.NewFromConfig(config)
//	client := pubsub.NewClient(sqspubsub.New(queues, topics, nil), nil)
//
// It takes the caller's clients, with their endpoint, region, credentials and retries.
//
// # What it promises
//
// A topic is an SNS topic, a subscription an SQS queue behind it with raw delivery, whose policy lets that topic send
// and nobody else. The first Declare, Publish or Subscribe creates what is missing. What exists is never changed: a
// queue whose policy leaves the topic out, a subscription without raw delivery or with another filter policy are
// errors that say so. A topic that nobody subscribes to may be published to.
//
// What somebody deletes under a running subscription is made again: its queue at the next request, topics, their SNS
// subscriptions and the queue of dead letters within a minute. What is published to a topic in between is lost, as it is
// where nobody subscribes. SQS lets a queue's name be used again after a minute.
//
// SNS and SQS take letters, digits, '-' and '_' in names: '.' becomes "_" and '_' becomes "__". The queue of subscription
// "stock" to "order.placed" is "order_placed___stock". Names of FIFO topics and queues end in ".fifo". A queue's name has
// at most 80 characters; a longer one is an error before anything is created.
//
// Publish sends batches of at most ten messages, within the topic's MaximumMessageSize in all; a larger message is
// refused before it is sent. An entry that fails through no fault of its own is sent once more.
//
// Requests travel beside one another, at most [Options.Requests] of a kind: batches of a publish that share no key,
// acknowledgements and extensions, and requests for messages, of which there is one while little comes. A slow handler
// is no reason for more: give a subscription the Concurrency that its throughput needs.
//
// Bodies and attribute values that are text travel as they are. Other bodies are base64 and say so in the attribute
// "mainstay-encoding". SQS takes ten attributes: beyond them, and for values that it refuses (empty ones, control
// characters), one attribute, "mainstay-attributes", holds the rest as a JSON object. The "ce-" ones are the last to go
// there, so that filter policies see them, and the trace goes first. A message that somebody else wrote, without
// attributes, is consumed too.
//
// The lease is the visibility timeout, in whole seconds. A message can be hidden for 12 hours from its receipt:
// extending it beyond that fails, and it comes back.
//
// What is published to a subscription's dead-letter topic is kept in a queue of that topic's name, for 14 days, the
// longest that SQS keeps anything. It is the dead-letter queue of the subscription's own queue as well, for what SQS
// moves by itself ([Options.MaxReceiveCount]), but for that of a FIFO topic: SQS wants it of the same kind.
//
// # Order
//
// A standard queue promises no order, and may deliver a message twice; asking it for order across processes fails. On
// FIFO topics ([Options.FIFO]) a key is a message group: one process at a time has messages of it, in order. A batch
// then carries one message of a key, so that speed comes from many keys; the services drop a second copy of a message,
// by its ID, within five minutes. On standard topics the key is the group too, which makes queues fair between keys.
//
// # Dead letters
//
// SQS has no way of looking at a queue but to receive from it. So package pubsub's Peek and Redrive, on the topic of a
// subscription's dead letters, receive from the queue that keeps them, which nobody else does: who subscribes to that
// topic has a queue of their own. Each look raises the letters' receive counts, and hides them for a minute, or until the
// walk comes to its end or the same [Broker] begins another; Redrive and Peek in another process do not see them
// meanwhile. Letters come about in the order in which they were stored, as from any standard queue. A redrive policy on
// that queue is refused: it would take away what was looked at too often.
//
// What SQS itself moved there (MaxReceiveCount) says not where it died, and Redrive leaves it. SQS's own redrive
// (StartMessageMoveTask) takes it back to the queue it came from, which no sibling sees; but it knows no filter, and the
// letters that pubsub published have no such queue: it takes all to one that it is told, and they are still marked as dead.
//
// # What it does not
//
// SNS keeps no past: a subscription begins at its end.
package sqspubsub
