// Package sqlx opens a database/sql pool that is bounded and observed, and runs transactions that are tried again
// when the database asks for it.
//
//	db, err := sqlx.Open(ctx, sqlx.Postgres, dsn, nil)
//	...
//	err = sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
//		_, err := tx.ExecContext(ctx, `UPDATE accounts SET balance = balance - $1 WHERE id = $2`, amount, id)
//		return err
//	}, nil)
//
// Everything works on *sql.DB and *sql.Tx: a pool that was opened elsewhere does for [InTx] and for the packages
// below this one, and SQL, ORM or generated code goes on as it was.
//
// What it promises
//
//   - [Open] returns a pool whose database has answered, or an error; no error and no log line holds the DSN.
//   - Every statement is measured (db_client_operation_duration_seconds), and is a span where its context belongs to
//     a trace. Its labels are the system, one of 28 operations, and the kind of error: a hundred codes of the
//     database's, the rest as one. Query texts and arguments are never recorded.
//   - [InTx] commits or rolls back, whatever its callback does: return, panic, or runtime.Goexit. Serialisation
//     failures, deadlocks and a busy SQLite are tried again, wherever they show, a bounded number of times.
//   - Read-then-write transactions on SQLite wait for their turn and do not fail at once.
//
// What it does not: it builds no SQL, maps no rows, and imports no driver. Import the one you use:
// github.com/jackc/pgx/v5/stdlib for PostgreSQL, modernc.org/sqlite for SQLite.
package sqlx
