package sqlx

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// busyTimeout bounds how long SQLite, and the queue before it, wait for the write lock.
const busyTimeout = 5 * time.Second

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
		{"busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10)}, // first, so that the next may wait
		{"journal_mode", "WAL"}, // readers and one writer at a time go on together
		{"synchronous", "FULL"}, // NORMAL loses the last commits with the power, and an outbox row with them
		{"foreign_keys", "ON"},  // off by default, for compatibility alone
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

// writeQueue lets the writers of one pool go one after another, in the order they came. SQLite's own wait is polling,
// at ever longer intervals: under load those who came last win, and the unlucky wait out their time. Nil is no queue.
type writeQueue chan struct{}

func newWriteQueue() writeQueue { return make(writeQueue, 1) }

// enter waits for its turn and reports whether leave must be called. It gives up after busyTimeout, or when ctx ends:
// then SQLite itself, or ctx, says what is to be said.
func (q writeQueue) enter(ctx context.Context) bool {
	if q == nil {
		return false
	}
	select {
	case q <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(busyTimeout)
	defer t.Stop()
	select {
	case q <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

func (q writeQueue) leave() { <-q }
