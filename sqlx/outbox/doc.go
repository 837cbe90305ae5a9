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
// A [Relay], which any number of replicas may run, moves the rows to the broker. Its tables come from [Outbox.Migrate],
// or from the SQL files in this package's folder migrations:
//
//	mainstay.Run(ctx, nil, mainstay.Once(box.Migrate), box.Relay(client, nil), server)
//
// # What it promises
//
//   - A message of a transaction that was rolled back never leaves; one of a transaction that committed leaves at
//     least once, however often processes die. Every copy has the ID that was stored: consumers tell by it (package
//     inbox does).
//   - Where a message was committed before another of the same topic and key was stored, it leaves first.
//   - No order of commits loses a message: the relay takes what is there, and remembers no number below which it
//     would not look.
//   - A message carries the trace and the correlation ID of the request that stored it.
//   - A broker that is away costs nothing but time: the relay backs off, topic by topic, and rows do not age out. A
//     message that the broker refuses for good (one too large, say) is set aside with the reason, in its row and in
//     the log, and those after it go on, of its key too.
//
// # What it does not
//
// A message may leave more than once. Between messages of different keys, and of transactions that overlap, there is
// no order. One replica relays at a time; when it dies, another goes on once its lease has ended (Options.Lease).
//
// A row that was set aside (parked_ms is not NULL) stays until somebody decides: DELETE it, or put it back by
// UPDATE mainstay_outbox SET parked_ms = NULL, error = NULL WHERE seq = ….
package outbox
