// Package mempubsub is a broker in memory, for tests and for programs of one process. It keeps the semantics of the
// real ones: named subscriptions that share or copy, leases that end, delivery counts, key order, at-least-once.
//
//	var broker mempubsub.Broker
//	client := pubsub.NewClient(&broker, nil)
//
// # What it promises
//
// Every subscription has a backlog of its own, so that one that stands still does not hold up the others: a publish
// reaches those that have room at once, and waits, within its context, for those that have none. When the context
// ends first, Publish returns an error that names the messages which not every subscription got.
//
// The messages of one key go to one receiver at a time, in order; to another only once the first has settled them or
// lost its lease. A released message is again the first of its key. One that was redelivered with a delay holds up
// nobody meanwhile: it comes behind what was published before it is due and taken.
//
// A topic keeps its last messages ([Broker.History]), whether or not anybody subscribes: a new subscription may begin
// there, Seek moves one there, and Browse shows them. A topic that a subscription has named as its dead letter keeps
// more ([Broker.DeadLetters]), until they are removed; past the bound the oldest goes.
//
// # What it does not
//
// Nothing survives the process. It starts no goroutine; leases and delays are looked at
// when somebody receives, so it is at home in a testing/synctest bubble.
package mempubsub
