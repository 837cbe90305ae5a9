package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mainstay-go/mainstay/sqlx/internal/table"
)

// pruneBatch is how many records one transaction of Prune removes at most: few enough that those who wait for the
// database in between hardly notice.
const pruneBatch = 1000

// Prune removes the records of messages that were handled longer than olderThan ago, by the database's clock, and
// returns how many it removed, also where it returns an error. It works in short transactions, row by row of the
// table's key, so that the table may be partitioned by it; and it may run anywhere, at any time, in several processes
// at once.
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
	err := in.db.QueryRowContext(ctx, `SELECT `+in.table.Dialect.Now()+` - $1`, olderThan.Milliseconds()).Scan(&cutoff)
	var removed int64
	if err == nil {
		removed, err = table.InBatches(pruneBatch, func() (int64, error) {
			return table.DeleteSome(ctx, in.db, in.prune, cutoff, pruneBatch)
		})
	}
	if err != nil {
		return removed, fmt.Errorf("inbox: prune: %w", err)
	}
	return removed, nil
}

// Cleaner removes old records now and then. It is a mainstay.Runner.
type Cleaner struct{ c table.Cleaner }

// String names the cleaner in errors.
func (c *Cleaner) String() string { return c.c.String() }

// Run cleans until ctx ends, and returns nil then. A failure is logged as a warning, and the next time comes as ever.
func (c *Cleaner) Run(ctx context.Context) error { return c.c.Run(ctx) }

// Cleaner returns a cleaner that calls Prune with olderThan, whose comment says how old that must be, when it starts and
// every so often: zero means 10m, negative is an error of its Run. Every replica may run one.
func (in *Inbox) Cleaner(olderThan, every time.Duration) *Cleaner {
	c := &Cleaner{table.Cleaner{
		Name: "inbox", Every: cmp.Or(every, 10*time.Minute), Logger: in.logger, Err: in.err,
		Clean: func(ctx context.Context) (int64, error) { return in.Prune(ctx, olderThan) },
	}}
	switch {
	case olderThan < time.Millisecond:
		c.c.Err = fmt.Errorf("inbox: a cleaner's age is %v, want 1ms or more", olderThan)
	case every < 0:
		c.c.Err = errors.New("inbox: a cleaner's interval is negative")
	}
	return c
}
