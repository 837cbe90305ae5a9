package sqlx_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
)

var errTooLittle = errors.New("too little money")

// A transfer reads before it writes. Under serialisable isolation the database refuses one of two that collide, and
// InTx runs that one again.
func ExampleInTx() {
	transfer := func(ctx context.Context, db *sql.DB, from, to string, amount int) error {
		return sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			var balance int
			if err := tx.QueryRowContext(ctx, `SELECT balance FROM accounts WHERE id = $1`, from).Scan(&balance); err != nil {
				return err
			}
			if balance < amount {
				return errTooLittle
			}
			if _, err := tx.ExecContext(ctx, `UPDATE accounts SET balance = balance - $1 WHERE id = $2`, amount, from); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE accounts SET balance = balance + $1 WHERE id = $2`, amount, to); err != nil {
				return err
			}
			// Not before the commit, and not once for each attempt.
			sqlx.AfterCommit(ctx, func() { fmt.Println("transferred", amount) })
			return nil
		}, &sqlx.TxOptions{Isolation: sql.LevelSerializable})
	}
	_ = transfer
}

// A service gives its database a minute to be there.
func ExampleOpen() {
	open := func(dsn string) (*sql.DB, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return sqlx.Open(ctx, sqlx.Postgres, dsn, &sqlx.Options{MaxOpen: 10})
	}
	_, err := open("postgres://localhost/shop") // import _ "github.com/jackc/pgx/v5/stdlib"
	fmt.Println(err)
	// Output: sqlx: open postgresql: no driver "pgx" is linked: import _ "github.com/jackc/pgx/v5/stdlib"
}
