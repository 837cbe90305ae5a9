// Package idempotency lets a client send a request again without a second effect: by the header Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header), the first answer is given again.
//
//	keys := idempotency.New(db, sqlx.Postgres, nil)
//	idempotency.Handle(keys, mux, CreateOrder, func(ctx context.Context, tx *sql.Tx, req CreateOrderRequest) (Order, error) {
//		o := newOrder(req)
//		_, err := tx.ExecContext(ctx, `INSERT INTO orders …`)
//		return o, err // commits together with the key and the answer
//	})
//	mux.Handle("POST /refunds", keys.Middleware(refunds)) // any handler, under a lease
//	err := mainstay.Run(ctx, nil, mainstay.Once(keys.Migrate), keys.Cleaner(0), server)
//
// # What it promises
//
//   - Endpoints made by [Handler] and [Handle] have their effect once, however often the request comes, at once or one
//     after the other, and whatever dies when: key, writes and answer commit together.
//   - A handler under [Keys.Middleware] runs once for each key unless its process dies, or cannot reach the database,
//     between its effect and the storing of its answer: then once more, after the lease. Two runs of one key never
//     overlap while the database answers, and a late answer is never stored over another's.
//   - The same request is answered by the first answer: status, headers and body, and Idempotency-Replayed: true.
//   - A request that comes while its twin is handled is answered with 409 and Retry-After, or waits (Options.Wait).
//   - Another request under the same key is answered with 422 and not handled: another query or path, a body that is not
//     the same byte by byte (the same JSON in another order is another body), or another value of a header in
//     Options.FingerprintHeaders.
//   - No key where one is required, one that is no string in quotes (RFC 9651), an empty one, several, or more than 255
//     characters are answered with 400. These, like every refusal, are problem details (RFC 9457).
//   - A key belongs to the caller (the principal's issuer and subject, and Options.Scope), the method and the route: the
//     same key elsewhere is another key. It is in use for 24h (Options.Expiry).
//
// # What it does not
//
// Answers are stored as they are, and so is what they hold of people. Callers without a principal share their keys,
// which must then be unguessable, or kept apart by Options.Scope.
//
// A replay is not authorised anew by whatever stands between the middleware and the effect; mount the middleware inside
// of what authorises. Expired keys stay in the table until a [Cleaner] runs.
//
// # Tables
//
// [Keys.Migrate] makes the table. Where another tool does, give it the files of this package's folder migrations, which
// are plain SQL, and call [Keys.Verify] instead. On PostgreSQL the table may be partitioned by hash of id; every
// statement names it.
package idempotency
