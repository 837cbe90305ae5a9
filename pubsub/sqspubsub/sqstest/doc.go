// Package sqstest is Amazon SQS and SNS in this process, for tests and examples: a server that speaks their protocols
// to any client and keeps to what their documentation says of standard and FIFO queues, and of topics that fan out to
// them.
//
//	server, err := sqstest.NewServer()
//	defer server.Close()
//	queues := sqs.New(sqs.Options{BaseEndpoint: aws.String(server.URL()), Region: sqstest.Region, Credentials: …})
//
// # What it keeps to
//
// Visibility and its limit of 12 hours, receive counts, delays, long polling, at most ten messages and so many bytes in
// a batch, at most ten attributes, the characters that are legal in each place; dead-letter queues; policies of queues,
// without which a topic's messages do not arrive; filter policies on attributes (of strings, prefixes, exceptions and
// existence), raw delivery and the envelope of one that is not. On FIFO queues the order of a group, groups blocked by
// what is in flight, and the deduplication window of 5 minutes.
//
// # What it does not
//
// It checks no signatures and knows one account in one region. Standard queues are stricter than Amazon's: they keep
// the order of arrival and deliver nothing twice by themselves. There are no tags, no encryption, no archive, and no
// protocols of subscriptions but sqs. All is in memory, and ends with the server.
package sqstest
