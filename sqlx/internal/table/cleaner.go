package table

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
)

// Cleaner calls Clean now and then.
type Cleaner struct {
	Name   string // of whoever's table it is, for its errors and lines
	Every  time.Duration
	Clean  func(context.Context) (int64, error)
	Logger *slog.Logger
	Err    error // why it cannot run
}

// String names the cleaner in errors.
func (c *Cleaner) String() string { return c.Name + " cleaner" }

// Run cleans at once and then every so often, until ctx ends, and returns nil then. A failure is logged, and the next
// time comes as ever.
func (c *Cleaner) Run(ctx context.Context) error {
	if c.Err != nil {
		return c.Err
	}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		began := time.Now()
		n, err := c.Clean(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.Logger.WarnContext(ctx, c.Name+": clean-up failed", "removed", n, "retry_in", c.Every, "error", err)
		case n > 0:
			c.Logger.DebugContext(ctx, c.Name+": cleaned up", "removed", n, "duration", time.Since(began))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// InBatches calls f, which removes at most size rows, until it removes fewer, and returns how many it removed in all.
func InBatches(size int64, f func() (int64, error)) (removed int64, err error) {
	for {
		n, err := f()
		removed += n
		if err != nil || n < size {
			return removed, err
		}
	}
}

// DeleteSome runs query, which removes at most size rows from before a point in time, in a transaction of its own, and
// returns how many it removed.
func DeleteSome(ctx context.Context, db *sql.DB, query string, before, size int64) (n int64, err error) {
	err = sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, query, before, size)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	}, nil)
	if err != nil {
		return 0, err
	}
	return n, nil
}
