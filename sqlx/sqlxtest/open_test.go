package sqlxtest_test

import (
	"database/sql"
	"testing"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func TestOpen(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		var one int
		if err := db.QueryRowContext(t.Context(), "SELECT 1").Scan(&one); err != nil {
			t.Fatal(err)
		}
	})
}
