package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
)

// pruneBatch is how many records one transaction of Prune removes at most: few enough that those who wait for the
// database in between hardly notice.
const pruneBatch = 1000

// Prune removes the records of messages that were handled longer than olderThan ago, by the database's clock, and
// returns how many it removed, also where it returns an error. It works in short transactions, and may run anywhere, at
// any time, in several processes at once.
//
// A copy that comes after its record is gone is handled once more. So olderThan must exceed the age that a copy can
// reach: how long the broker keeps messages, and how long an outbox or a dead letter may hold one before it is sent
// again. Where that is not known, 30 days is a start. Less than a millisecond is an error.
func (in *Inbox) Prune(ctx context.Context, olderThan time.Duration) (int64, error) {
	if in.err != nil {
		return 0, in.err
	}
	if olderThan < time.Millisecond {
		return 0, fmt.Errorf("inbox: prune: an age of %v, want 1ms or more", olderThan)
	}
	var cutoff int64 // one for all batches, so that there is an end to them
	err := in.db.QueryRowContext(ctx, `SELECT `+in.dialect.Now()+` - $1`, olderThan.Milliseconds()).Scan(&cutoff)
	var removed int64
	for more := true; more && err == nil; {
		var n int64
		n, err = in.pruneSome(ctx, cutoff)
		removed += n
		more = n == pruneBatch
	}
	if err != nil {
		return removed, fmt.Errorf("inbox: prune: %w", err)
	}
	return removed, nil
}

func (in *Inbox) pruneSome(ctx context.Context, cutoff int64) (n int64, err error) {
	err = sqlx.InTx(ctx, in.db, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM `+in.table+` WHERE (subscription, topic, message_id) IN (
			SELECT subscription, topic, message_id FROM `+in.table+` WHERE handled_ms < $1
			ORDER BY handled_ms LIMIT $2)`, cutoff, pruneBatch)
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
