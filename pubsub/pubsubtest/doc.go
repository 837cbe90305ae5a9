// Package pubsubtest tests brokers and what is built on them: [Run] is the suite that every adapter of package pubsub
// passes, [NewFaulty] a driver that duplicates, reorders, delays, fails and crashes on purpose, and [Recorder] a
// publisher for unit tests of code that publishes.
//
// An adapter's own test is a few lines:
//
//	func TestConformance(t *testing.T) {
//		pubsubtest.Run(t, pubsubtest.Harness{
//			Adapter:   "mem",
//			Broker:    func(t testing.TB) driver.Broker { return &mempubsub.Broker{} },
//			Abilities: pubsubtest.Abilities{Order: true, Start: true, Browse: true},
//		})
//	}
//
// What brokers differ in is declared ([Abilities]), and the suite holds the adapter to it both ways. A case that needs
// what is declared missing is reported as not able, and counted. The lines of several adapters' runs make one table
// ([WriteTable]).
//
// The suite uses real time, because real brokers do, but for brokers that live in the test's process alone
// ([Harness.InProcess]). It waits for things to happen, never for a time to pass, except
// where the claim is that something does not happen.
package pubsubtest
