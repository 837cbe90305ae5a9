package sqlx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/internal/backoff"
)

const (
	defaultMaxOpen         = 20
	defaultConnMaxLifetime = 30 * time.Minute
	defaultConnMaxIdleTime = 5 * time.Minute

	// pingTimeout bounds one attempt to reach the database while Open waits for it.
	pingTimeout    = 5 * time.Second
	pingMinBackoff = 100 * time.Millisecond
	pingMaxBackoff = 2 * time.Second
)

// Options adjusts [Open]. Nil, and the zero value of every field, mean the defaults.
type Options struct {
	// Driver is the name under which the driver registered with database/sql. "" means "pgx" for PostgreSQL and
	// "sqlite" for SQLite.
	Driver string
	// MaxOpen bounds the connections of the pool, busy and idle together. Zero means 20 (1 for a SQLite database in
	// memory, which lives in one connection); negative means no bound. As many may be idle as open: a burst would
	// otherwise open and close connections without end. [SetMaxOpen] changes both later.
	MaxOpen int
	// ConnMaxLifetime bounds the age of a connection, so that a pool follows a failover or a new address. Each
	// connection gets 80 to 100% of it, by chance: those opened together do not close together. Zero means 30m for
	// PostgreSQL and no bound for SQLite; negative means no bound.
	ConnMaxLifetime time.Duration
	// ConnMaxIdleTime bounds how long an idle connection is kept. Zero means 5m for PostgreSQL and no bound for
	// SQLite; negative means no bound.
	ConnMaxIdleTime time.Duration
	// Logger gets a warning for each attempt at start that finds no database. Nil means slog.Default().
	Logger *slog.Logger
	// TracerProvider makes the spans of statements. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Registerer gets db_client_operation_duration_seconds. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// Open returns a pool for the database that dsn names, once it has answered.
//
// A database that is not there yet is tried again, with a growing pause of at most 2s, until ctx ends: give ctx a
// deadline to bound the start. What another attempt would only repeat (a DSN that cannot be parsed, refused
// credentials, a SQLite file that cannot be opened) is returned at once. Neither errors nor log lines hold dsn or its
// password. ctx bounds the start only; close the pool with its Close.
//
// A SQLite database gets, on each connection and where dsn does not set them itself: a busy time-out of 5s, WAL,
// synchronous=FULL (a commit survives a power cut; NORMAL would lose the last ones), foreign keys on, and read-write
// transactions that begin with BEGIN IMMEDIATE. Read-only transactions begin deferred and run beside a writer.
//
// The duration of a query ends when its first row is there, and an error met while later rows are read is not
// counted. A statement is a span where its context belongs to a trace; a statement without one starts none. A
// function given to (*sql.Conn).Raw gets the driver's own connection from its argument's method
// Raw() driver.Conn.
func Open(ctx context.Context, d Dialect, dsn string, o *Options) (*sql.DB, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	opt := withDefaults(d, dsn, o)
	c, err := newConnector(d, dsn, opt)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	SetMaxOpen(db, opt.MaxOpen)
	db.SetConnMaxLifetime(opt.ConnMaxLifetime)
	db.SetConnMaxIdleTime(opt.ConnMaxIdleTime)
	if err := await(ctx, d, db, dsn, opt.Logger); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// SetMaxOpen bounds db's open connections to n, and its idle ones too: (*sql.DB).SetMaxOpenConns alone lowers the
// number of idle connections and never raises it. n <= 0 means no bound on the open ones, and 1024 idle.
func SetMaxOpen(db *sql.DB, n int) {
	db.SetMaxOpenConns(n)
	if n <= 0 {
		n = 1024
	}
	db.SetMaxIdleConns(n)
}

func withDefaults(d Dialect, dsn string, o *Options) Options {
	var opt Options
	if o != nil {
		opt = *o
	}
	if opt.Driver == "" {
		opt.Driver = d.driverName()
	}
	if opt.MaxOpen == 0 {
		opt.MaxOpen = defaultMaxOpen
		if d == SQLite && inMemory(dsn) {
			opt.MaxOpen = 1
		}
	}
	if d == Postgres && opt.ConnMaxLifetime == 0 {
		opt.ConnMaxLifetime = defaultConnMaxLifetime
	}
	if d == Postgres && opt.ConnMaxIdleTime == 0 {
		opt.ConnMaxIdleTime = defaultConnMaxIdleTime
	}
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	return opt
}

// await pings db until it answers, ctx ends, or the answer is one that waiting does not change.
func await(ctx context.Context, d Dialect, db *sql.DB, dsn string, log *slog.Logger) error {
	for attempt := 1; ; attempt++ {
		err := ping(ctx, db)
		if err == nil {
			return nil
		}
		if unparsable(err) {
			return errDSN(d)
		}
		err = fmt.Errorf("sqlx: open %v: %w", d, scrub(err, dsn))
		if hopeless(d, err) {
			return err
		}
		if ctx.Err() == nil {
			log.WarnContext(ctx, "sqlx: database not there yet", "db_system_name", d.String(), "error", err)
		}
		if cause := pause(ctx, backoff.Delay(attempt, pingMinBackoff, pingMaxBackoff)); cause != nil {
			return fmt.Errorf("%w: %w", err, cause)
		}
	}
}

func ping(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return db.PingContext(ctx)
}

// hopeless reports whether err stays as it is however long we wait: for PostgreSQL refused credentials (SQLSTATE
// class 28) or a set-up of the driver's that it refuses, for SQLite all but a busy file.
func hopeless(d Dialect, err error) bool {
	if errors.Is(err, errUnfit) {
		return true
	}
	if d == SQLite {
		return !isBusy(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	return strings.HasPrefix(sqlState(err), "28")
}

// findDriver returns the driver of that name, which only a pool of its own gives away.
func findDriver(d Dialect, name, dsn string) (driver.Driver, error) {
	if !slices.Contains(sql.Drivers(), name) {
		return nil, fmt.Errorf("sqlx: open %v: no driver %q is linked: import _ %q", d, name, d.packageName())
	}
	db, err := sql.Open(name, dsn)
	if err != nil {
		return nil, errDSN(d)
	}
	defer db.Close()
	return db.Driver(), nil
}

// errDSN says that the driver does not understand the DSN. The driver's own words usually quote it.
func errDSN(d Dialect) error {
	return fmt.Errorf("sqlx: open %v: the driver cannot parse the data source name", d)
}

// unparsable reports whether err says so at the first connection: pgx reads the DSN no sooner, and tells it by a type
// that cannot be named without importing pgx.
func unparsable(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if strings.HasSuffix(fmt.Sprintf("%T", err), ".ParseConfigError") {
			return true
		}
	}
	return false
}

// scrubbed is err with the DSN taken out of its text.
type scrubbed struct {
	error
	text string
}

func (e scrubbed) Error() string { return e.text }
func (e scrubbed) Unwrap() error { return e.error }

// scrub returns err, its text freed of dsn and of dsn's password.
func scrub(err error, dsn string) error {
	text := err.Error()
	for _, secret := range append(passwords(dsn), dsn) {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return scrubbed{err, text}
}

var keyValuePassword = regexp.MustCompile(`(?i)password\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))`)

// passwords returns what dsn may call a password, in the URL form and in the key=value form, as written and decoded.
func passwords(dsn string) []string {
	var ps []string
	if u, err := url.Parse(dsn); err == nil {
		if p, ok := u.User.Password(); ok {
			ps = append(ps, p, url.QueryEscape(p), url.PathEscape(p))
		}
		ps = append(ps, u.Query().Get("password"))
	}
	for _, m := range keyValuePassword.FindAllStringSubmatch(dsn, -1) {
		ps = append(ps, m[1], m[2])
	}
	return ps
}
