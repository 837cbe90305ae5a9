package sqlxtest_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"
)

// age makes the marks of topic as old as age says.
func (b *inboxBench) age(topic string, age time.Duration) {
	b.Helper()
	_, err := b.db.ExecContext(b.Context(), `UPDATE mainstay_inbox SET handled_ms = handled_ms - $1 WHERE topic = $2`,
		age.Milliseconds(), topic)
	if err != nil {
		b.Fatal(err)
	}
}

// fill makes n marks, without their effects.
func (b *inboxBench) fill(topic string, n int) {
	b.Helper()
	tx, err := b.db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	for i := range n {
		_, err := tx.ExecContext(b.Context(), `INSERT INTO mainstay_inbox VALUES ('billing', $1, $2, `+now+`)`,
			topic, fmt.Sprint(i))
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

func (b *inboxBench) prune(ctx context.Context, olderThan time.Duration, want int64) {
	b.Helper()
	if got, err := b.in.Prune(ctx, olderThan); got != want || err != nil {
		b.Errorf("Prune(%v) = %d, %v, want %d", olderThan, got, err, want)
	}
}

func TestInboxPrune(t *testing.T) {
	t.Run("RemovesWhatIsOlderAndNothingElse", func(t *testing.T) {
		eachInbox(t, func(b *inboxBench) {
			b.fill("old", 2500)
			b.fill("exact", 1000)
			b.fill("new", 10)
			b.age("old", 31*24*time.Hour)
			b.age("exact", 20*24*time.Hour)
			b.prune(b.Context(), 30*24*time.Hour, 2500)
			b.wantRows(0, 1010)
			b.prune(b.Context(), 10*24*time.Hour, 1000) // one full batch, then none
			b.prune(b.Context(), time.Hour, 0)
			b.wantRows(0, 10)
		})
	})
	t.Run("ByManyProcessesAtOnceBesideHandlers", func(t *testing.T) {
		eachInbox(t, func(b *inboxBench) {
			b.fill("old", 3000)
			b.age("old", time.Hour)
			h := b.in.Handler("billing", effectOf("billing"))
			handled := make(chan error)
			go func() {
				var err error
				for i := range 100 {
					err = errors.Join(err, h(b.Context(), messageOf("orders", fmt.Sprint(i))))
				}
				handled <- err
			}()
			var sum int64
			counts := make(chan int64, 4)
			errs := together(4, func() error {
				n, err := b.in.Prune(b.Context(), time.Minute)
				counts <- n
				return err
			})
			if err := errors.Join(append(errs, <-handled)...); err != nil {
				b.Error(err)
			}
			for range 4 {
				sum += <-counts
			}
			if sum != 3000 {
				b.Errorf("the four removed %d together, want 3000", sum)
			}
			b.wantRows(100, 100)
		})
	})
	t.Run("ACopyThatComesLaterRunsAgain", func(t *testing.T) {
		eachInbox(t, func(b *inboxBench) {
			h := b.in.Handler("billing", effectOf("billing"))
			for range 2 {
				if err := h(b.Context(), messageOf("orders", "m-1")); err != nil {
					b.Error(err)
				}
				b.age("orders", time.Hour)
				b.prune(b.Context(), time.Minute, 1)
			}
			b.wantRows(2, 0)
		})
	})
	t.Run("EndsWithItsContext", func(t *testing.T) {
		eachInbox(t, func(b *inboxBench) {
			ctx, cancel := context.WithCancel(b.Context())
			cancel()
			if _, err := b.in.Prune(ctx, time.Hour); !errors.Is(err, context.Canceled) {
				b.Errorf("Prune = %v, want %v", err, context.Canceled)
			}
		})
	})
	t.Run("RefusesNoAge", func(t *testing.T) {
		eachInbox(t, func(b *inboxBench) {
			b.fill("new", 1)
			for _, age := range []time.Duration{-time.Hour, 0, time.Millisecond - 1} {
				if n, err := b.in.Prune(b.Context(), age); n != 0 || err == nil {
					b.Errorf("Prune(%v) = %d, %v, want an error", age, n, err)
				}
			}
			b.wantRows(0, 1)
		})
	})
}
