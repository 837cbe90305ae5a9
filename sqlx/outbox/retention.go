package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
)

// pruneBatch is how many messages one statement of Prune removes at most: few enough that those who wait for the
// database in between hardly notice.
const pruneBatch = 1000

// Prune removes the messages that were sent longer than olderThan ago, by the database's clock, from the table
// mainstay_outbox_sent, and returns how many it removed, also where it returns an error. It works in short
// transactions, and may run anywhere, at any time, in several processes at once. A relay with a Retention does the
// same.
//
// Where the table is partitioned by sent_ms, dropping a partition does the same for less: Prune then finds nothing.
// Less than a millisecond is an error.
func (b *Outbox) Prune(ctx context.Context, olderThan time.Duration) (int64, error) {
	if olderThan < time.Millisecond {
		return 0, fmt.Errorf("outbox: prune: an age of %v, want 1ms or more", olderThan)
	}
	cutoff, err := b.before(ctx, olderThan) // one for all batches, so that there is an end to them
	var removed int64
	for more := true; more && err == nil; {
		var n int64
		n, err = b.pruneSome(ctx, cutoff)
		removed += n
		more = n == pruneBatch
	}
	if err != nil {
		return removed, fmt.Errorf("outbox: prune: %w", err)
	}
	return removed, nil
}

// before returns the time of the database's clock that is d ago.
func (b *Outbox) before(ctx context.Context, d time.Duration) (ms int64, err error) {
	err = b.db.QueryRowContext(ctx, `SELECT `+b.dialect.Now()+` - $1`, d.Milliseconds()).Scan(&ms)
	return ms, err
}

func (b *Outbox) pruneSome(ctx context.Context, cutoff int64) (int64, error) {
	skip := ""
	if b.dialect == sqlx.Postgres {
		skip = ` FOR UPDATE SKIP LOCKED` // what another one is removing
	}
	// The first condition says again what the second implies: it leaves out partitions.
	r, err := b.db.ExecContext(ctx, `DELETE FROM mainstay_outbox_sent WHERE sent_ms < $1 AND (sent_ms, seq) IN (
		SELECT sent_ms, seq FROM mainstay_outbox_sent WHERE sent_ms < $1 ORDER BY sent_ms, seq LIMIT $2`+skip+`)`,
		cutoff, pruneBatch)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// tidy removes a batch of what was kept for long enough, once a minute or, while there is more, each time. It reports
// whether there is.
func (r *Relay) tidy(ctx context.Context) (more bool, err error) {
	if r.opt.Retention <= 0 || time.Now().Before(r.tidyDue) {
		return false, nil
	}
	cutoff, err := r.box.before(ctx, r.opt.Retention)
	if err != nil {
		return false, err
	}
	n, err := r.box.pruneSome(ctx, cutoff)
	if err != nil || n == pruneBatch {
		return err == nil, err
	}
	r.tidyDue = time.Now().Add(tidyInterval)
	return false, nil
}
