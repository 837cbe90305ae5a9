// Package table is what the packages below sqlx share about a table of the kit's: its name, its migrations, the check
// that one which somebody else made will do, and the job that keeps it small.
package table

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/migrate"
)

// Table is one table of one database.
type Table struct {
	DB      *sql.DB
	Dialect sqlx.Dialect
	Name    string // as the statements write it
	Default string // as the migrations write it
	Files   fs.FS  // the migrations, in a folder "migrations" and one that is named after the dialect
	Logger  *slog.Logger
}

// name leaves room for "_migrations" within what package migrate allows.
var name = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,47}\.)?[a-z_][a-z0-9_]{0,36}$`)

// Check returns what is wrong with the table's dialect or name.
func (t *Table) Check() error {
	if err := t.Dialect.Check(); err != nil {
		return err
	}
	if !name.MatchString(t.Name) || t.Dialect == sqlx.SQLite && strings.Contains(t.Name, ".") {
		return fmt.Errorf("table %q: want at most 37 of a-z 0-9 _, and a schema on PostgreSQL only", t.Name)
	}
	return nil
}

// Migrate creates the table, or brings it up to date, as package migrate promises.
func (t *Table) Migrate(ctx context.Context) error {
	files, err := fs.Sub(t.Files, "migrations/"+t.Dialect.String())
	if err != nil {
		return err
	}
	return migrate.New(t.DB, t.Dialect, renamed{files, t.Default, t.Name}, &migrate.Options{
		Table: t.Name + "_migrations", Logger: t.Logger,
	}).Up(ctx)
}

// renamed is a folder of migrations for a table of another name.
type renamed struct {
	fs.FS
	from, to string
}

// ReadFile implements fs.ReadFileFS.
func (r renamed) ReadFile(file string) ([]byte, error) {
	text, err := fs.ReadFile(r.FS, file)
	return bytes.ReplaceAll(text, []byte(r.from), []byte(r.to)), err
}

// parameter is one of a statement's.
var parameter = regexp.MustCompile(`\$[0-9]+`)

// Verify returns an error unless the database would run each statement: the columns, the unique key that an ON
// CONFLICT names and the rights are there. It has them planned, and runs none.
func (t *Table) Verify(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		distinct := map[string]bool{}
		for _, p := range parameter.FindAllString(s, -1) {
			distinct[p] = true
		}
		if err := t.plan(ctx, s, make([]any, len(distinct))); err != nil {
			return fmt.Errorf("table %s is not as this program needs it: %w", t.Name, err)
		}
	}
	return nil
}

func (t *Table) plan(ctx context.Context, statement string, args []any) error {
	rows, err := t.DB.QueryContext(ctx, "EXPLAIN "+statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() { // its errors come at the end
	}
	return rows.Err()
}
