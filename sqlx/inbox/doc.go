// Package inbox makes the effect of a message happen once, however often the message is delivered: the record that it
// was handled, the handler's own writes, and the events that the handler publishes through the outbox commit together
// or not at all.
//
//	in := inbox.New(db, sqlx.Postgres, nil)
//	box := outbox.New(db, sqlx.Postgres, nil)
//	sub := inbox.Subscribe(in, client, OrderCreated, "inventory",
//		func(ctx context.Context, tx *sql.Tx, e OrderCreatedEvent) error {
//			if _, err := tx.ExecContext(ctx, `UPDATE stock SET free = free - 1 WHERE sku = $1`, e.SKU); err != nil {
//				return err
//			}
//			return StockReserved.Publish(ctx, box.In(tx), StockReservedEvent{OrderID: e.OrderID})
//		}, nil)
//	err := mainstay.Run(ctx, nil, mainstay.Once(in.Migrate), sub)
//
// # What it promises
//
//   - A message is known by subscription, topic and message ID. The first transaction that commits for the three is
//     the only one: what comes later is a duplicate, which is acknowledged, counted
//     (mainstay_inbox_duplicates_total{topic,subscription}), logged at debug level, and not handed to the handler.
//   - A handler that fails, panics, or runs out of time leaves no mark, so that the next delivery is handled.
//   - Of two copies that arrive at once, in one process or in two, the second waits until the first has ended: it is a
//     duplicate where the first committed, and runs where the first rolled back.
//   - A process that dies after the commit and before the acknowledgement gets the message again, as a duplicate. So
//     does a commit whose outcome is unknown (sqlx.ErrCommitUnknown), which is an error, in case it has committed.
//   - Subscriptions share one table and do not meet: each handles every message once.
//   - A message without an ID is refused with a permanent error. Nothing could tell it from another.
//
// # In batches
//
// [SubscribeBatch] handles up to a hundred messages in one transaction, which the disk or the network is waited for
// once, and records them by one statement. Its handler does best to write by one statement too. A message that fails
// takes nobody along: the others are handled without it (see [Inbox.BatchHandler]).
//
//	sub := inbox.SubscribeBatch(in, client, OrderCreated, "inventory",
//		func(ctx context.Context, tx *sql.Tx, es []pubsub.Received[OrderCreatedEvent]) error {
//			_, err := tx.ExecContext(ctx, `UPDATE stock SET … FROM unnest($1::text[]) …`, skus(es))
//			return err
//		}, nil)
//
// # What it does not
//
// Only what goes through tx happens once. A call to another service, or a write through the pool, is made again with
// every run of the handler; give such a call the message's ID as its idempotency key. On SQLite a write through the
// pool waits for the very transaction it is made in.
//
// The transaction is open while the handler runs. It holds a connection, and on SQLite the one write lock: keep it
// short, and the pool at least as large as the subscriptions' Concurrency.
//
// The record is kept until [Inbox.Prune] removes it; run a [Cleaner], which calls it now and then, or the table grows
// for ever. On PostgreSQL the table may be partitioned by hash of message_id. Partitions by time would not do: no unique
// key spans them, and a copy that comes on another day would be new.
//
// [Inbox.Migrate] makes the table. Where another tool does, give it the files of this package's folder migrations, which
// are plain SQL, and call [Inbox.Verify] instead.
//
// A message is what its ID says. Where a publisher gives two messages one ID, the second is dropped. A message from a
// publisher that gives none is known by its place in the broker (see pubsub), and places begin anew when the broker's
// store is created anew.
package inbox
