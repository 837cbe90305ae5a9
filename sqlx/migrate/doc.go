// Package migrate brings a database's schema up to date when a service starts, however many replicas start at once.
//
//	//go:embed migrations/*.sql
//	var files embed.FS
//
//	sub, _ := fs.Sub(files, "migrations")
//	m := migrate.New(db, sqlx.Postgres, sub, nil)
//	err := mainstay.Run(ctx, nil, mainstay.Once(m.Up), server) // the server starts when the schema is there
//
// A migration is a file "0001_create_orders.sql": a version, and a name in lower case. It is sent as a whole, in one
// transaction with the record that it was applied, so that it is there with its record or not at all. Where its first
// line is
//
//	-- migrate:no-transaction
//
// it is one statement that runs outside a transaction, as CREATE INDEX CONCURRENTLY must. A crash between it and its
// record runs it again, so write it to bear that (IF NOT EXISTS; drop an invalid index in a migration before it).
//
// # What it promises
//
//   - Each migration is applied once, in the order of versions, by one process at a time. On PostgreSQL a session
//     advisory lock sees to that, which the server gives up when its holder dies; on SQLite the write lock of each
//     migration's own transaction. (On SQLite a migration without a transaction is under no lock: two processes that
//     start at once may both run it.)
//   - Those who wait for their turn ask again and again and sleep in between. None waits inside the server, where it
//     would hold a snapshot that a concurrent index build waits for in turn.
//   - A migration that fails leaves the version that was there, and the next start tries it again.
//   - A file that changed after it was applied, that is missing, or that comes before one that was applied, is an
//     error, and nothing is run.
//   - A database that is newer than the files is left as it is, with a warning, so that a release can be rolled back;
//     with Options.Strict it is [ErrSchemaTooNew].
//
// # What it does not
//
// There is no way down: a migration that must be undone is undone by the next one. PostgreSQL must be reached
// directly or through a session pooler; in a transaction pooler a session lock locks nothing. A migration must hold no
// BEGIN or COMMIT of its own.
package migrate
