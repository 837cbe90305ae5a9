package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/internal/table"
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
	table      table.Table
	record     string // the statement that claims a message
	recordAll  string // the one that claims several, and returns the IDs of those that are new
	prune      string
	tx         *sqlx.TxOptions
	logger     *slog.Logger
	duplicates *prometheus.CounterVec
	err        error // why the inbox cannot be used, reported by whatever uses it
}

// New returns the inbox in db: the database that the handlers' own writes go to, since they share its transactions.
// New does not touch it. The table is created by [Inbox.Migrate], and must be there before the first message is.
//
// What is wrong with d or o is reported by Migrate, Verify and Prune, by the Run of a cleaner and of a subscription, and by
// every call of a handler made by [Inbox.Handler] or [Inbox.BatchHandler].
func New(db *sql.DB, d sqlx.Dialect, o *Options) *Inbox {
	var opt Options
	if o != nil {
		opt = *o
	}
	in := &Inbox{
		db:     db,
		tx:     &sqlx.TxOptions{Isolation: opt.Isolation},
		logger: cmp.Or(opt.Logger, slog.Default()),
	}
	in.table = table.Table{
		DB: db, Dialect: d, Name: cmp.Or(opt.Table, defaultTable), Default: defaultTable, Files: migrations, Logger: in.logger,
	}
	in.prepare()
	var err error
	in.duplicates, err = metrics.Register(opt.Registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mainstay_inbox_duplicates_total",
		Help: "Messages that came again after they were handled, and were dropped.",
	}, []string{"topic", "subscription"}))
	if err = errors.Join(in.table.Check(), err); err != nil {
		in.err = fmt.Errorf("inbox: %w", err)
	}
	return in
}

// prepare writes the statements.
func (in *Inbox) prepare() {
	name, now := in.table.Name, in.table.Dialect.Now()
	insert := `INSERT INTO ` + name + ` (subscription, topic, message_id, handled_ms) `
	once := ` ON CONFLICT (subscription, topic, message_id) DO NOTHING`
	in.record = insert + `VALUES ($1, $2, $3, ` + now + `)` + once
	// By key, so that the table may be partitioned. Materialized, so that no plan looks for the rows more than once.
	in.prune = `DELETE FROM ` + name + ` WHERE (subscription, topic, message_id) IN (WITH old AS MATERIALIZED (
		SELECT subscription, topic, message_id FROM ` + name + ` WHERE handled_ms < $1 ORDER BY handled_ms LIMIT $2`
	if in.table.Dialect == sqlx.SQLite {
		in.recordAll = insert + `SELECT $1, $2, value, (SELECT ` + now + `) FROM json_each($3) WHERE true`
	} else {
		in.recordAll = insert + `SELECT $1, $2, id, (SELECT ` + now + `) FROM unnest(CAST($3 AS TEXT[])) AS id`
		in.prune += ` FOR UPDATE SKIP LOCKED`
	}
	in.prune += `) SELECT subscription, topic, message_id FROM old)`
	in.recordAll += once + ` RETURNING message_id`
}

//go:embed migrations
var migrations embed.FS

// Migrate creates the inbox's table, or brings it up to date, as package migrate promises: however many processes
// start at once. Its shape fits mainstay.Once.
func (in *Inbox) Migrate(ctx context.Context) error { return in.use(ctx, in.table.Migrate) }

// Verify is for a service that may not create tables, or leaves that to a tool of its own: the table is made by the SQL
// files in this package's folder migrations. Verify changes nothing, and returns an error where the table, a column,
// the unique key or a right is missing. Its shape fits mainstay.Once.
func (in *Inbox) Verify(ctx context.Context) error {
	return in.use(ctx, func(ctx context.Context) error { return in.table.Verify(ctx, in.record, in.recordAll, in.prune) })
}

func (in *Inbox) use(ctx context.Context, f func(context.Context) error) error {
	if in.err != nil {
		return in.err
	}
	if err := f(ctx); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	return nil
}
