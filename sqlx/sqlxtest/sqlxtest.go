package sqlxtest

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers that the dialects name
	_ "modernc.org/sqlite"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/sqlx"
)

// Each runs f as one subtest a dialect, each with a new, empty database.
func Each(t *testing.T, f func(t *testing.T, db *sql.DB, d sqlx.Dialect)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { f(t, SQLite(t), sqlx.SQLite) })
	t.Run("Postgres", func(t *testing.T) { f(t, Postgres(t), sqlx.Postgres) })
}

// SQLite returns a pool for a new, empty SQLite file, opened by sqlx.Open with its defaults. It is closed and removed
// when t ends.
func SQLite(t testing.TB) *sql.DB {
	t.Helper()
	return open(t, sqlx.SQLite)
}

// Postgres returns a pool for a new, empty PostgreSQL database, opened by sqlx.Open with its defaults. It is closed
// and dropped when t ends. Postgres skips t where there is no server to be had.
func Postgres(t testing.TB) *sql.DB {
	t.Helper()
	return open(t, sqlx.Postgres)
}

// DSN returns the data source name of a new, empty database, for tests that open it themselves or hand it to another
// process. The database is removed when t ends.
func DSN(t testing.TB, d sqlx.Dialect) string {
	t.Helper()
	if d == sqlx.SQLite {
		return "file:" + filepath.Join(t.TempDir(), "test.db")
	}
	return createDatabase(t, server(t))
}

func open(t testing.TB, d sqlx.Dialect) *sql.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	db, err := sqlx.Open(ctx, d, DSN(t, d), &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
