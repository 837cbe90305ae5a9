package migrate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
)

const (
	// lockPoll is how often those who wait ask whether it is their turn.
	lockPoll = 200 * time.Millisecond
	// unlockTimeout bounds giving the lock back, which is done when the context has ended, too.
	unlockTimeout = 5 * time.Second
)

// locked runs f while no other process runs its own.
func (m *Migrator) locked(ctx context.Context, conn *sql.Conn, f func() error) error {
	if m.dialect == sqlx.SQLite {
		return f() // each transaction locks for itself
	}
	h := fnv.New64a()
	h.Write([]byte("mainstay/sqlx/migrate:" + m.opt.Table))
	key := int64(h.Sum64())
	err := m.poll(ctx, func() (bool, error) {
		var got bool
		err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, key).Scan(&got)
		return got, err
	})
	if err != nil {
		return fmt.Errorf("migrate: lock: %w", err)
	}
	defer unlock(ctx, conn, key)
	noticeDeath(ctx, conn)
	return f()
}

// noticeDeath has the server look, within a statement, whether its client is still there. Without it a backend whose
// client was killed finishes a long statement first, and holds the lock until then. PostgreSQL before 14 cannot, nor
// can servers on some platforms: there it is as it is.
func noticeDeath(ctx context.Context, conn *sql.Conn) {
	_, _ = conn.ExecContext(ctx, `SET client_connection_check_interval = '1s'`)
}

// unlock gives the lock back, and the session as it was. Where that fails the connection is closed: the lock belongs
// to the session, and must not go back to the pool with it.
func unlock(ctx context.Context, conn *sql.Conn, key int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
	defer cancel()
	_, _ = conn.ExecContext(ctx, `RESET client_connection_check_interval`) // fails where SET did
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, key); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// retryBusy runs f until SQLite is not busy: another process's migration may take longer than the busy time-out.
func (m *Migrator) retryBusy(ctx context.Context, f func() error) error {
	return m.poll(ctx, func() (bool, error) {
		err := f()
		if m.dialect == sqlx.SQLite && sqlx.IsConflict(err) {
			return false, nil
		}
		return true, err
	})
}

// poll calls f until it reports true, an error, or the time for waiting is over.
func (m *Migrator) poll(ctx context.Context, f func() (bool, error)) error {
	var end <-chan time.Time
	if m.opt.LockTimeout > 0 {
		t := time.NewTimer(m.opt.LockTimeout)
		defer t.Stop()
		end = t.C
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		done, err := f()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end:
			return fmt.Errorf("%w, for more than %v", ErrLockTimeout, m.opt.LockTimeout)
		case <-tick.C:
		}
	}
}
