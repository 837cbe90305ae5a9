package sqlx

import (
	"fmt"

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
