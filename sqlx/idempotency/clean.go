package idempotency

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/mainstay-go/mainstay/sqlx/internal/table"
)

// Clean removes the keys that have expired, and returns how many, also where it returns an error. It works in short
// transactions, row by row of the table's key, so that the table may be partitioned by it; and it may run anywhere, at
// any time, in several processes at once.
func (k *Keys) Clean(ctx context.Context) (removed int64, err error) {
	err = k.use(ctx, func(ctx context.Context) error {
		now, err := k.store.now(ctx)
		if err == nil {
			removed, err = table.InBatches(cleanBatch, func() (int64, error) {
				return table.DeleteSome(ctx, k.store.db, k.store.clean, now, cleanBatch)
			})
		}
		return err
	})
	return removed, err
}

// Cleaner removes expired keys now and then. It is a mainstay.Runner.
type Cleaner struct{ c table.Cleaner }

// String names the cleaner in errors.
func (c *Cleaner) String() string { return c.c.String() }

// Run cleans until ctx ends, and returns nil then. A failure is logged as a warning, and the next time comes as ever.
func (c *Cleaner) Run(ctx context.Context) error { return c.c.Run(ctx) }

// Cleaner returns a cleaner that calls Clean when it starts, and every so often: zero means 10m, negative is an error of
// its Run. Every replica may run one.
func (k *Keys) Cleaner(every time.Duration) *Cleaner {
	c := &Cleaner{table.Cleaner{
		Name: "idempotency", Every: cmp.Or(every, 10*time.Minute), Clean: k.Clean, Logger: k.opt.Logger, Err: k.err,
	}}
	if every < 0 {
		c.c.Err = errors.New("idempotency: a cleaner's interval is negative")
	}
	return c
}
