// Package outbox publishes messages from within a database transaction: they leave if, and only if, it commits.
//
//	box := outbox.New(db, sqlx.Postgres, nil)
//	...
//	err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
//		if _, err := tx.ExecContext(ctx, `INSERT INTO orders …`); err != nil {
//			return err
//		}
//		return OrderCreated.Publish(ctx, box.In(tx), event) // a row of the same transaction
//	}, nil)
//
// A [Relay], which any number of replicas may run, moves the rows to the broker:
//
//	mainstay.Run(ctx, nil, mainstay.Once(box.Migrate), box.Relay(client, nil), server)
//
// # What it promises
//
//   - A message of a transaction that was rolled back never leaves; one of a transaction that committed leaves at
//     least once, however often processes die. Every copy has the ID that was stored: consumers tell by it (package
//     inbox does).
//   - Where a message was committed before another of the same topic and key was stored, it leaves first. Replicas keep
//     that without a lock on everything: each relays some of 32 shards, which topic and key decide on.
//   - No order of commits loses a message: the relay takes what is there, and remembers no number below which it
//     would not look.
//   - A message carries the trace and the correlation ID of the request that stored it.
//   - A broker that is away costs nothing but time: the relay backs off, topic by topic, and rows do not age out. A
//     message that the broker refuses for good (one too large, say) is set aside with the reason, in a table and in
//     the log, and those after it go on, of its key too.
//   - A database that was restored from a dump goes on relaying. What it held is sent, also what had been sent since.
//   - A commit of this process wakes its relay; an idle one asks the database once a second.
//
// # What it does not
//
// A message may leave more than once. Between messages of different keys, of those without a key, and of transactions
// that overlap, there is no order. When a replica dies, its shards rest until its lease has ended (RelayOptions.Lease).
//
// A message that was set aside stays until somebody decides: [Outbox.Parked] lists them, [Outbox.Retry] sends them
// again, [Outbox.Drop] deletes them. Messages that were sent are deleted, or kept for RelayOptions.Retention in the
// table mainstay_outbox_sent.
//
// # Tables of your own making
//
// A service without the right to create tables has the files in this package's folder migrations run by others, as they
// are, and calls [Outbox.Verify] in place of Migrate. On PostgreSQL mainstay_outbox_sent may be partitioned by sent_ms,
// so that a day is removed by dropping its partition. mainstay_outbox must keep its primary key and its identity column
// without a cache: both are what the order rests on.
package outbox
