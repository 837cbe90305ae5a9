// Package pubsub publishes and handles events: a typed contract ([Topic]), a client over a broker's driver
// ([Client]), and subscriptions that retry, keep order within a key, dead-letter and drain ([Subscription]).
//
//	var OrderCreated = pubsub.NewTopic("order.created", &pubsub.TopicOptions[Order]{
//		Key: func(o Order) string { return o.ID },
//	})
//
//	client := pubsub.NewClient(broker, &pubsub.Options{Source: "orders"})
//	err := OrderCreated.Publish(ctx, client, Order{ID: "42"})
//	sub := OrderCreated.Subscribe(client, "inventory", func(ctx context.Context, o Order) error { … }, nil)
//	err = sub.Run(ctx) // handles until ctx ends, then drains
//
// # What it promises
//
// Delivery is at least once: a message is acknowledged only after its handler returned nil, or after its dead letter
// was stored. What handlers do may therefore happen twice; sqlx/inbox makes that harmless.
//
// Within one process the messages of one key are handled in the order they arrive, never two at once, whatever
// happens to them: a message that waits for its next attempt holds up its own key, no other key and no worker.
// Messages without a key are handled in parallel, in no order. Across processes the broker decides who gets what;
// none of them fences a stopped or dead consumer, so while one is being taken over two of a key may overlap.
//
// A failed message is tried again, after a back-off, up to Retry.MaxAttempts times and for Retry.MaxAge; then it goes
// to the subscription's dead-letter topic, body untouched. The attempts of one delivery are counted exactly. A
// delivery that ended without an outcome, because its process died or was stopped, is not held against the message,
// up to ten of them beyond MaxAttempts: a message that came back that often ends its consumers, and is dead-lettered
// unhandled.
//
// A message that waits for its next attempt waits here, under its lease, with its key. Where the broker can hand a
// message to one subscription alone, SubscriptionOptions.MaxParked and MaxInPlaceDelay bound that: past them the
// message is moved. A copy is stored at the broker, then the original is acknowledged. The copy has the same ID, and
// its attempts count on; its key does not wait for it, so that it is handled after messages that were published
// later.
//
// [Peek] shows what is dead, and [Redrive] puts it back to the subscription where it died, which its siblings do not
// notice: the same message, with the same ID. It comes behind what waits there, so that later messages of its key are
// handled before it.
//
// Every message carries a correlation ID and the W3C trace context of its publisher. The spans of its handlers are
// children of the publishing span, so that one trace ID leads from the request to the last consumer.
//
// # What happens to a message, in order
//
// It is decoded: the envelope cannot fail, the payload of a [Topic] is decoded within the handler. Then each attempt
// has a context of its own, which ends with it: a child of the publisher's trace, with the correlation ID; within it
// the span, the measurement and the recovery from panics; within these the time-out, the middleware, the handler. Its
// outcome is judged outside, whatever the order of options: acknowledged, or logged and tried again, or given up. What
// is stored on behalf of a message, its dead letter or a moved copy, and every acknowledgement, has a context of its
// own of at most 10s, which no handler's end and no drain takes along.
//
// # What it measures
//
// Metrics have the names of the semantic conventions for messaging where these have one. Their labels are topics and
// subscriptions, which the program names, and a fixed list of kinds of error; nothing that a message brings becomes a
// label. A subscription has up to nine series of messaging_process_duration_seconds, one for each outcome, and nine
// of gauges and counters. Duplicates are counted by who can tell them: sqlx/inbox. Publishing has up to nine for each
// topic; past 1,000 topics the rest are "__other__", which metrics_label_values_overflowed_total counts.
//
// # What it does not
//
// It does not deduplicate, and it does not publish within a database transaction: sqlx/inbox and sqlx/outbox do.
// It creates no goroutine that outlives [Subscription.Run], except for a handler that ignores its context: Run
// names that one in its error and leaves it behind.
package pubsub
