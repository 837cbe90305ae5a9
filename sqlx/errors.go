package sqlx

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
)

var (
	// ErrNested is returned by [InTx] for a context that belongs to a transaction of the same pool already. The inner
	// one could not see the outer one's writes, and on SQLite or a pool of one would wait for it for ever: hand the
	// *sql.Tx on instead.
	ErrNested = errors.New("sqlx: a transaction of this pool is open in this context")
	// ErrCommitUnknown matches the error of an [InTx] whose connection was lost, or whose context ended, between
	// sending COMMIT and its answer: the transaction may have been committed or not. It is not tried again; only what
	// is safe to do twice may be.
	ErrCommitUnknown = errors.New("sqlx: commit outcome unknown")
)

// IsConflict reports whether err says that the database gave up this transaction for the sake of another, so that the
// same one may succeed when run again from its beginning: a serialisation failure (SQLSTATE 40001), a deadlock
// (40P01), or a busy SQLite (SQLITE_BUSY and its extended codes, such as SQLITE_BUSY_SNAPSHOT). It looks through
// wrapped and joined errors, and at one-method interfaces of the drivers' (SQLState() string, Code() int).
func IsConflict(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01":
		return true
	}
	return isBusy(err)
}

// sqlState returns the SQLSTATE in err's chain, "" where there is none.
func sqlState(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// sqliteBusy is SQLITE_BUSY, the low byte of its extended codes (https://sqlite.org/rescode.html).
const sqliteBusy = 5

func isBusy(err error) bool {
	c, ok := sqliteCode(err)
	return ok && c&0xff == sqliteBusy
}

// sqliteCode returns the extended result code in err's chain. Code() int is a common method: only an error whose text
// shows its code as the driver's does, "database is locked (517)", is taken for one.
func sqliteCode(err error) (int, bool) {
	var c interface {
		error
		Code() int
	}
	if !errors.As(err, &c) {
		return 0, false
	}
	return c.Code(), strings.Contains(c.Error(), "("+strconv.Itoa(c.Code())+")")
}

// commitUnknown reports whether err, returned by a COMMIT under ctx, leaves open what became of it. An answer of the
// server's is an answer, unless it says that the connection is going down.
func commitUnknown(ctx context.Context, err error) bool {
	if s := sqlState(err); s != "" {
		return strings.HasPrefix(s, "08") || strings.HasPrefix(s, "57P") || s == "40003"
	}
	//nolint:errorlint // Unwrapped it is database/sql's own check, made before it asks the driver.
	if err == ctx.Err() {
		return false
	}
	// pgx's errors of the connection have SafeToRetry. What it returns is of no use here: pgx 5.12 reports a connection
	// that ends while COMMIT is awaited as "conn closed", safe to retry.
	var ofConn interface{ SafeToRetry() bool }
	var n net.Error
	return errors.As(err, &ofConn) || errors.As(err, &n) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}
