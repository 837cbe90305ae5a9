package sqlx

import (
	"fmt"
	"strings"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Dialect says which database is spoken to. The zero value is none, and refused wherever a Dialect is taken.
type Dialect uint8

const (
	// Postgres is PostgreSQL 12 or newer.
	Postgres Dialect = iota + 1
	// SQLite is SQLite 3.42 or newer, in a file or in memory.
	SQLite
)

// String returns the name that the semantic conventions give the database: "postgresql" or "sqlite".
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return semconv.DBSystemNamePostgreSQL.Value.AsString()
	case SQLite:
		return semconv.DBSystemNameSQLite.Value.AsString()
	}
	return fmt.Sprintf("dialect(%d)", uint8(d))
}

// Check returns an error where d is neither [Postgres] nor [SQLite].
func (d Dialect) Check() error {
	if d != Postgres && d != SQLite {
		return fmt.Errorf("sqlx: unknown %v", d)
	}
	return nil
}

// Now returns the SQL expression for the database's clock, in whole milliseconds since 1970, as a 64-bit integer. It
// moves on within a transaction.
func (d Dialect) Now() string {
	if d == SQLite {
		return "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
	}
	return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
}

// driverName is what the usual driver of d calls itself, and packageName where to import it from.
func (d Dialect) driverName() string {
	if d == SQLite {
		return "sqlite"
	}
	return "pgx"
}

func (d Dialect) packageName() string {
	if d == SQLite {
		return "modernc.org/sqlite"
	}
	return "github.com/jackc/pgx/v5/stdlib"
}

// withImmediate makes SQLite take the write lock when a read-write transaction begins. A transaction that begins by
// reading could not upgrade once another has written (SQLITE_BUSY_SNAPSHOT), however long it were willing to wait.
func withImmediate(dsn string) string {
	if strings.Contains(dsn, "_txlock=") {
		return dsn
	}
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	return dsn + sep + "_txlock=immediate"
}

// pragmas returns what is run on each new SQLite connection, less what dsn sets itself.
func pragmas(dsn string) []string {
	var qs []string
	for _, p := range [...]struct{ name, value string }{
		{"busy_timeout", "5000"}, // first, so that the next may wait
		{"journal_mode", "WAL"},  // readers and one writer at a time go on together
		{"synchronous", "FULL"},  // NORMAL loses the last commits with the power, and an outbox row with them
		{"foreign_keys", "ON"},   // off by default, for compatibility alone
	} {
		if !strings.Contains(dsn, p.name) {
			qs = append(qs, "PRAGMA "+p.name+" = "+p.value)
		}
	}
	return qs
}

// inMemory reports whether a SQLite database lives in one connection only.
func inMemory(dsn string) bool {
	return dsn == "" || strings.HasPrefix(dsn, "?") ||
		(strings.Contains(dsn, ":memory:") || strings.Contains(dsn, "mode=memory")) &&
			!strings.Contains(dsn, "cache=shared")
}
