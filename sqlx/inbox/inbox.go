package inbox

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/migrate"
)

// defaultTable is also what the migrations call the table.
const defaultTable = "mainstay_inbox"

// Options adjusts an [Inbox]. Nil, and the zero value of every field, mean the defaults.
type Options struct {
	// Table holds one row for each message handled. "" means "mainstay_inbox"; else at most 37 of a-z 0-9 _, no digit
	// first, on PostgreSQL after an optional schema and a dot. What was migrated is recorded beside it, in a table of
	// that name and "_migrations".
	Table string
	// Isolation is the isolation level of the transaction that handlers run in. Zero means the database's default, as
	// in sqlx.TxOptions. Duplicates are found at every level.
	Isolation sql.IsolationLevel
	// Logger gets a line at debug level for each duplicate, and what Migrate applied. Nil means slog.Default().
	Logger *slog.Logger
	// Registerer gets mainstay_inbox_duplicates_total. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// Inbox records in a database which messages were handled. It is safe for concurrent use, and holds nothing open.
type Inbox struct {
	db         *sql.DB
	dialect    sqlx.Dialect
	table      string
	record     string // the statement that claims a message
	tx         *sqlx.TxOptions
	logger     *slog.Logger
	duplicates *prometheus.CounterVec
	err        error // why the inbox cannot be used, reported by whatever uses it
}

// New returns the inbox in db: the database that the handlers' own writes go to, since they share its transactions.
// New does not touch it. The table is created by [Inbox.Migrate], and must be there before the first message is.
//
// What is wrong with d or o is reported by Migrate, by Prune, by the Run of a subscription made by [Subscribe], and by
// every call of a handler made by [Inbox.Handler].
func New(db *sql.DB, d sqlx.Dialect, o *Options) *Inbox {
	var opt Options
	if o != nil {
		opt = *o
	}
	in := &Inbox{
		db: db, dialect: d,
		table:  cmp.Or(opt.Table, defaultTable),
		tx:     &sqlx.TxOptions{Isolation: opt.Isolation},
		logger: cmp.Or(opt.Logger, slog.Default()),
	}
	in.record = `INSERT INTO ` + in.table + ` (subscription, topic, message_id, handled_ms)
		VALUES ($1, $2, $3, ` + d.Now() + `) ON CONFLICT (subscription, topic, message_id) DO NOTHING`
	var err error
	in.duplicates, err = metrics.Register(opt.Registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mainstay_inbox_duplicates_total",
		Help: "Messages that came again after they were handled, and were dropped.",
	}, []string{"topic", "subscription"}))
	if err = errors.Join(d.Check(), checkTable(d, in.table), err); err != nil {
		in.err = fmt.Errorf("inbox: %w", err)
	}
	return in
}

// tableName leaves room for "_migrations" within what package migrate allows.
var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,47}\.)?[a-z_][a-z0-9_]{0,36}$`)

func checkTable(d sqlx.Dialect, name string) error {
	if !tableName.MatchString(name) || d == sqlx.SQLite && strings.Contains(name, ".") {
		return fmt.Errorf("table %q: want at most 37 of a-z 0-9 _, and a schema on PostgreSQL only", name)
	}
	return nil
}

//go:embed migrations
var migrations embed.FS

// Migrate creates the inbox's table, or brings it up to date, as package migrate promises: however many processes
// start at once. Its shape fits mainstay.Once.
func (in *Inbox) Migrate(ctx context.Context) error {
	if in.err != nil {
		return in.err
	}
	files, err := fs.Sub(migrations, "migrations/"+in.dialect.String())
	if err == nil {
		err = migrate.New(in.db, in.dialect, renamed{files, in.table}, &migrate.Options{
			Table: in.table + "_migrations", Logger: in.logger,
		}).Up(ctx)
	}
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	return nil
}

// renamed is a folder of migrations for a table of another name.
type renamed struct {
	fs.FS
	table string
}

// ReadFile implements fs.ReadFileFS.
func (r renamed) ReadFile(name string) ([]byte, error) {
	text, err := fs.ReadFile(r.FS, name)
	return bytes.ReplaceAll(text, []byte(defaultTable), []byte(r.table)), err
}
