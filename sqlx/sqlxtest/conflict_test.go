package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// lateConflicts has another transaction commit when both have read what the other writes. The server dooms this one,
// and says so at whatever it does next.
func lateConflicts(t *testing.T) {
	for name, next := range map[string]func(context.Context, *sql.Tx) error{
		"AtTheCommit": func(context.Context, *sql.Tx) error { return nil },
		"AtARead": func(ctx context.Context, tx *sql.Tx) error {
			var v int
			return tx.QueryRowContext(ctx, `SELECT value FROM counter WHERE id = 2`).Scan(&v)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := sqlxtest.Postgres(t)
			counterTable(t, db)
			mustExec(t, db, `INSERT INTO counter VALUES (2, 0)`)
			readAndWrite := func(tx *sql.Tx, id int) error {
				var sum int
				if err := tx.QueryRow(`SELECT sum(value) FROM counter`).Scan(&sum); err != nil {
					return err
				}
				_, err := tx.Exec(`UPDATE counter SET value = $1 WHERE id = $2`, sum+1, id)
				return err
			}
			runs := 0
			var first error // of the first run of the callback
			err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				runs++
				if err := readAndWrite(tx, 1); err != nil || runs > 1 {
					return err
				}
				other, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
				if err != nil {
					return err
				}
				if err := errors.Join(readAndWrite(other, 2), other.Commit()); err != nil {
					return err
				}
				first = next(ctx, tx)
				return first
			}, &sqlx.TxOptions{Isolation: sql.LevelSerializable})
			if err != nil || runs != 2 {
				t.Errorf("InTx = %v after %d runs, want nil after 2", err, runs)
			}
			if atCommit := first == nil; atCommit != (name == "AtTheCommit") {
				t.Errorf("the first run ended with %v: the conflict showed elsewhere", first)
			}
			if got := number(t, db, `SELECT value FROM counter WHERE id = 1`); got != 2 {
				t.Errorf("value = %d, want 2: the second run saw what the other wrote", got)
			}
		})
	}
}
