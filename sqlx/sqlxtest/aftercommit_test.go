package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func TestAfterCommit(t *testing.T) {
	t.Run("CallsInOrderOnceCommitted", func(t *testing.T) {
		sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
			counterTable(t, db)
			var got []string
			note := func(s string) func() {
				return func() {
					got = append(got, fmt.Sprint(s, " saw ", number(t, db, `SELECT value FROM counter`)))
				}
			}
			err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				if !sqlx.AfterCommit(ctx, note("a")) || !sqlx.AfterCommit(ctx, note("b")) {
					t.Error("AfterCommit = false within InTx, want true")
				}
				got = append(got, "f")
				return increment(ctx, tx)
			}, nil)
			if want := []string{"f", "a saw 1", "b saw 1"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("calls = %q, %v, want %q", got, err, want)
			}
		})
	})
	t.Run("DropsWhatWasRolledBack", func(t *testing.T) {
		db := sqlxtest.SQLite(t)
		called := 0
		sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			sqlx.AfterCommit(ctx, func() { called++ })
			return errors.New("no")
		}, nil)
		if called != 0 {
			t.Errorf("called %d times after a rollback, want 0", called)
		}
	})
	t.Run("CountsTheAttemptThatCommits", func(t *testing.T) {
		db := sqlxtest.Postgres(t)
		counterTable(t, db)
		called, runs := 0, 0
		once := conflict(t, db, new(int))
		err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			runs++
			sqlx.AfterCommit(ctx, func() { called++ })
			if runs == 1 {
				return once(ctx, tx)
			}
			return nil
		}, &sqlx.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil || runs != 2 || called != 1 {
			t.Errorf("runs %d, called %d, error %v; want 2, 1, nil", runs, called, err)
		}
	})
	t.Run("ReportsFalseOutside", func(t *testing.T) {
		db := sqlxtest.SQLite(t)
		never := func() { t.Error("called, want never") }
		if sqlx.AfterCommit(t.Context(), never) {
			t.Error("AfterCommit without InTx = true, want false")
		}
		var escaped context.Context
		sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error { escaped = ctx; return nil }, nil)
		if sqlx.AfterCommit(escaped, never) {
			t.Error("AfterCommit after InTx = true, want false")
		}
	})
}
