package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
)

var (
	// ErrSchemaTooNew is returned under Options.Strict when the database has versions that the files do not know.
	ErrSchemaTooNew = errors.New("migrate: the schema is newer than this program")
	// ErrChanged matches the error for a migration whose file is not the one that was applied.
	ErrChanged = errors.New("migrate: file changed after it was applied")
	// ErrLockTimeout matches the error of an Up that waited for its turn for as long as Options.LockTimeout.
	ErrLockTimeout = errors.New("migrate: another process is migrating")
)

const (
	defaultTable       = "schema_migrations"
	defaultLockTimeout = 15 * time.Minute
)

// Options adjusts a [Migrator]. Nil, and the zero value of every field, mean the defaults.
type Options struct {
	// Table records what was applied. Schemas with tables of their own live side by side in one database. "" means
	// "schema_migrations"; at most 48 of a-z 0-9 _, after an optional schema and a dot.
	Table string
	// LockTimeout bounds the wait for other processes that migrate, so it must exceed the longest migration. Zero
	// means 15m; negative means that ctx alone does.
	LockTimeout time.Duration
	// Strict makes a database that is newer than the files an error, [ErrSchemaTooNew]. False means a warning, and
	// success with nothing migrated.
	Strict bool
	// Logger gets what was applied, and the warning. Nil means slog.Default().
	Logger *slog.Logger
}

// Migrator applies the migrations of one folder to one database.
type Migrator struct {
	db      *sql.DB
	dialect sqlx.Dialect
	files   fs.FS
	opt     Options
}

// New returns a migrator for the *.sql files at the top of files (see fs.Sub). It touches neither files nor db: [Up]
// does, and reports what is wrong with either.
func New(db *sql.DB, d sqlx.Dialect, files fs.FS, o *Options) *Migrator {
	m := &Migrator{db: db, dialect: d, files: files}
	if o != nil {
		m.opt = *o
	}
	if m.opt.Table == "" {
		m.opt.Table = defaultTable
	}
	if m.opt.LockTimeout == 0 {
		m.opt.LockTimeout = defaultLockTimeout
	}
	if m.opt.Logger == nil {
		m.opt.Logger = slog.Default()
	}
	return m
}

var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,47}\.)?[a-z_][a-z0-9_]{0,47}$`)

// Up applies what is not applied yet and returns when the schema is up to date, by this process's doing or another's.
// It uses one connection. Its shape fits mainstay.Once.
func (m *Migrator) Up(ctx context.Context) error {
	if err := m.dialect.Check(); err != nil {
		return err
	}
	if !tableName.MatchString(m.opt.Table) {
		return fmt.Errorf("migrate: table %q: want at most 48 of a-z 0-9 _", m.opt.Table)
	}
	files, err := readFiles(m.files)
	if err != nil {
		return err
	}
	conn, err := m.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer conn.Close()
	return m.locked(ctx, conn, func() error { return m.up(ctx, conn, files) })
}

func (m *Migrator) up(ctx context.Context, conn *sql.Conn, files []migration) error {
	if err := m.createTable(ctx, conn); err != nil {
		return fmt.Errorf("migrate: create table %s: %w", m.opt.Table, err)
	}
	done, err := m.applied(ctx, conn)
	if err != nil {
		return fmt.Errorf("migrate: read table %s: %w", m.opt.Table, err)
	}
	pending, newer, err := plan(files, done)
	if err != nil {
		return err
	}
	if newer {
		return m.tooNew(ctx, done[len(done)-1].version, files)
	}
	for _, f := range pending {
		start := time.Now()
		ran, err := m.apply(ctx, conn, f)
		if err != nil {
			return fmt.Errorf("migrate: %v: %w", f, err)
		}
		if ran {
			m.opt.Logger.InfoContext(ctx, "migrate: applied", "migration", f.String(), "table", m.opt.Table,
				"duration", time.Since(start))
		}
	}
	return nil
}

func (m *Migrator) tooNew(ctx context.Context, database int64, files []migration) error {
	var program int64
	if len(files) > 0 {
		program = files[len(files)-1].version
	}
	if m.opt.Strict {
		return fmt.Errorf("%w: database %d, program %d", ErrSchemaTooNew, database, program)
	}
	m.opt.Logger.WarnContext(ctx, "migrate: the schema is newer than this program; nothing is migrated",
		"database_version", database, "program_version", program, "table", m.opt.Table)
	return nil
}

func (m *Migrator) createTable(ctx context.Context, conn *sql.Conn) error {
	return m.retryBusy(ctx, func() error {
		_, err := conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS `+m.opt.Table+` (
			version BIGINT PRIMARY KEY,
			name TEXT NOT NULL,
			checksum TEXT NOT NULL,
			applied_ms BIGINT NOT NULL
		)`)
		return err
	})
}

func (m *Migrator) applied(ctx context.Context, conn *sql.Conn) ([]applied, error) {
	rows, err := conn.QueryContext(ctx, `SELECT version, name, checksum FROM `+m.opt.Table+` ORDER BY version`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var as []applied
	for rows.Next() {
		var a applied
		if err := rows.Scan(&a.version, &a.name, &a.checksum); err != nil {
			return nil, err
		}
		as = append(as, a)
	}
	return as, rows.Err()
}

// apply runs f and records it. It reports false where another process has done so since the table was read, which
// SQLite allows.
func (m *Migrator) apply(ctx context.Context, conn *sql.Conn, f migration) (ran bool, err error) {
	if !f.inTx {
		if _, err := conn.ExecContext(ctx, f.sql); err != nil {
			return false, err
		}
		return m.record(ctx, conn, f)
	}
	tx, err := m.begin(ctx, conn, f)
	if err != nil || tx == nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, f.sql); err != nil {
		return false, errors.Join(err, tx.Rollback())
	}
	return true, tx.Commit()
}

// begin returns a transaction in which f is recorded, and nil where f was recorded before. The record comes first: it
// tells whether anything must run, and a SQLite transaction that begins by writing waits for its turn, however the
// pool was opened.
func (m *Migrator) begin(ctx context.Context, conn *sql.Conn, f migration) (*sql.Tx, error) {
	var tx *sql.Tx
	err := m.retryBusy(ctx, func() error {
		t, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		recorded, err := m.record(ctx, t, f)
		if err != nil || !recorded {
			return errors.Join(err, t.Rollback())
		}
		tx = t
		return nil
	})
	return tx, err
}

// execer is a connection or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (m *Migrator) record(ctx context.Context, e execer, f migration) (bool, error) {
	r, err := e.ExecContext(ctx, `INSERT INTO `+m.opt.Table+` (version, name, checksum, applied_ms)
		VALUES ($1, $2, $3, `+m.dialect.Now()+`) ON CONFLICT (version) DO NOTHING`, f.version, f.name, f.checksum)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}
