package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

// counterTable makes a table of one row whose value is 0.
func counterTable(t *testing.T, db *sql.DB) {
	t.Helper()
	mustExec(t, db, `CREATE TABLE counter (id INT PRIMARY KEY, value INT NOT NULL)`)
	mustExec(t, db, `INSERT INTO counter VALUES (1, 0)`)
}

func mustExec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// number returns the one number that query selects.
func number(t testing.TB, db *sql.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// increment adds 1 by reading first, and wraps its errors as applications do.
func increment(ctx context.Context, tx *sql.Tx) error {
	var v int
	if err := tx.QueryRowContext(ctx, `SELECT value FROM counter WHERE id = 1`).Scan(&v); err != nil {
		return fmt.Errorf("read counter: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE counter SET value = $1 WHERE id = 1`, v+1); err != nil {
		return fmt.Errorf("write counter: %w", err)
	}
	return nil
}

func TestInTx(t *testing.T) {
	t.Run("SerialisationFailuresAreTriedAgain", func(t *testing.T) {
		db := sqlxtest.Postgres(t)
		counterTable(t, db)
		var runs atomic.Int32
		errs := together(20, func() error {
			return sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				runs.Add(1)
				return increment(ctx, tx)
			}, &sqlx.TxOptions{Isolation: sql.LevelSerializable, MaxAttempts: 50})
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if got := number(t, db, `SELECT value FROM counter`); got != 20 {
			t.Errorf("counter = %d, want 20", got)
		}
		if runs.Load() <= 20 {
			t.Errorf("callbacks ran %d times, want more than 20: nothing conflicted, so nothing was shown", runs.Load())
		}
	})
	t.Run("ConflictsAtAReadAndAtTheCommitAreTriedAgain", lateConflicts)
	t.Run("DeadlocksAreTriedAgain", deadlocks)
	t.Run("AttemptsAreBounded", attemptsBounded)
	t.Run("AnyOtherErrorRunsOnce", otherErrorRunsOnce)
	t.Run("TheContextEndsTheLoop", contextEndsLoop)
	t.Run("SQLiteReadThenWriteWaits", readThenWrite)
	t.Run("SQLiteWritersTakeTurns", writersTakeTurns)
	t.Run("SQLiteUpgradeWaits", upgradeWaits)
	t.Run("SQLiteReadersRunBesideAWriter", readersBesideWriter)
	t.Run("SQLiteBusyBeginIsTriedAgain", busyBegin)
	t.Run("PanicAndGoexitRollBack", panicRollsBack)
	t.Run("ReadOnlyIsPassedOn", readOnly)
	t.Run("NestedIsRefused", nested)
	t.Run("ALostConnectionInCommitIsUnknown", commitUnknown)
}

// together runs f n times at once.
func together(n int, f func() error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errs
}

// deadlocks has two transactions lock two rows crosswise, so that the server ends one of them with 40P01.
func deadlocks(t *testing.T) {
	db := sqlxtest.Postgres(t)
	counterTable(t, db)
	mustExec(t, db, `INSERT INTO counter VALUES (2, 0)`)
	var runs atomic.Int32
	var met sync.WaitGroup // both hold their first row, on the first attempt
	met.Add(2)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			first := true
			errs[i] = sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				runs.Add(1)
				if _, err := tx.ExecContext(ctx, `UPDATE counter SET value = value + 1 WHERE id = $1`, 1+i); err != nil {
					return err
				}
				if first {
					first = false
					met.Done()
					met.Wait()
				}
				_, err := tx.ExecContext(ctx, `UPDATE counter SET value = value + 1 WHERE id = $1`, 2-i)
				return err
			}, nil)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if got := runs.Load(); got < 3 {
		t.Errorf("callbacks ran %d times, want 3 or more: two, and the victim again", got)
	}
	if got := number(t, db, `SELECT sum(value) FROM counter`); got != 4 {
		t.Errorf("sum = %d, want 4", got)
	}
}

// conflict has every attempt fail at its commit: another transaction wrote what this one has read, and read what it
// writes.
func conflict(t *testing.T, db *sql.DB, runs *int) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		*runs++
		var v int
		if err := tx.QueryRowContext(ctx, `SELECT value FROM counter WHERE id = 1`).Scan(&v); err != nil {
			return err
		}
		mustExec(t, db, `UPDATE counter SET value = value + 1 WHERE id = 1`)
		_, err := tx.ExecContext(ctx, `UPDATE counter SET value = 0 WHERE id = 1`)
		if err != nil {
			return fmt.Errorf("wrapped: %w", err)
		}
		return nil
	}
}

func attemptsBounded(t *testing.T) {
	db := sqlxtest.Postgres(t)
	counterTable(t, db)
	for _, tt := range []struct{ max, want int }{{3, 3}, {1, 1}, {-1, 1}, {0, 10}} {
		runs := 0
		err := sqlx.InTx(t.Context(), db, conflict(t, db, &runs),
			&sqlx.TxOptions{Isolation: sql.LevelRepeatableRead, MaxAttempts: tt.max})
		if runs != tt.want {
			t.Errorf("MaxAttempts %d: callback ran %d times, want %d", tt.max, runs, tt.want)
		}
		var state interface{ SQLState() string }
		if !errors.As(err, &state) || state.SQLState() != "40001" {
			t.Errorf("MaxAttempts %d: error = %v, want one that matches the driver's 40001", tt.max, err)
		}
	}
}

func otherErrorRunsOnce(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		counterTable(t, db)
		runs, own := 0, errors.New("out of stock")
		err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			runs++
			return errors.Join(increment(ctx, tx), own)
		}, nil)
		if runs != 1 || !errors.Is(err, own) {
			t.Errorf("callback ran %d times with error %v, want 1 with %v", runs, err, own)
		}
		if got := number(t, db, `SELECT value FROM counter`); got != 0 {
			t.Errorf("counter = %d, want 0: rolled back", got)
		}
	})
}

func contextEndsLoop(t *testing.T) {
	db := sqlxtest.Postgres(t)
	counterTable(t, db)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("shutting down")
	runs := 0
	f := conflict(t, db, &runs)
	err := sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		err := f(ctx, tx)
		if runs == 3 {
			cancel(cause)
		}
		return err
	}, &sqlx.TxOptions{Isolation: sql.LevelRepeatableRead, MaxAttempts: 1 << 30})
	if runs != 3 || !errors.Is(err, cause) || !sqlx.IsConflict(err) {
		t.Errorf("callback ran %d times with error %v, want 3 with %v and the conflict", runs, err, cause)
	}
}

func readThenWrite(t *testing.T) {
	db := sqlxtest.SQLite(t)
	counterTable(t, db)
	var runs atomic.Int32
	errs := together(20, func() error {
		for range 20 {
			err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				runs.Add(1)
				return increment(ctx, tx)
			}, &sqlx.TxOptions{MaxAttempts: 1})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if got := number(t, db, `SELECT value FROM counter`); got != 400 || runs.Load() != 400 {
		t.Errorf("counter = %d after %d runs, want 400 after 400", got, runs.Load())
	}
}

func readersBesideWriter(t *testing.T) {
	db := sqlxtest.SQLite(t)
	counterTable(t, db)
	err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
		if err := increment(ctx, tx); err != nil {
			return err
		}
		// Another user's context: this one belongs to the transaction.
		reader, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return sqlx.InTx(reader, db, func(ctx context.Context, tx *sql.Tx) error {
			var v int
			err := tx.QueryRowContext(ctx, `SELECT value FROM counter`).Scan(&v)
			if v != 0 {
				t.Errorf("the reader saw %d, want 0: the writer has not committed", v)
			}
			return err
		}, &sqlx.TxOptions{ReadOnly: true, MaxAttempts: 1})
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

// busyBegin: somebody else holds the lock for longer than the busy time-out of the one who waits.
func busyBegin(t *testing.T) {
	dsn := sqlxtest.DSN(t, sqlx.SQLite)
	var pools [2]*sql.DB
	for i := range pools {
		var err error
		pools[i], err = sqlx.Open(t.Context(), sqlx.SQLite, dsn+"?_pragma=busy_timeout(1)",
			&sqlx.Options{Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		defer pools[i].Close()
	}
	counterTable(t, pools[0])
	holder, err := pools[1].BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = sqlx.InTx(t.Context(), pools[0], increment, &sqlx.TxOptions{MaxAttempts: 2})
	if !sqlx.IsConflict(err) || !strings.Contains(err.Error(), "after 2 attempts") {
		t.Errorf("InTx while the lock is held = %v, want a conflict after 2 attempts", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { holder.Rollback() })
	if err := sqlx.InTx(t.Context(), pools[0], increment, &sqlx.TxOptions{MaxAttempts: 1000}); err != nil {
		t.Errorf("InTx until the lock is given up = %v, want nil", err)
	}
}

// writersTakeTurns: SQLite gives up after a millisecond here, so that whoever comes second succeeds by the queue alone.
func writersTakeTurns(t *testing.T) {
	db := openReplica(t, sqlx.SQLite, sqlxtest.DSN(t, sqlx.SQLite)+"?_pragma=busy_timeout(1)")
	counterTable(t, db)
	const add = `UPDATE counter SET value = value + 1`
	prepared, err := db.PrepareContext(t.Context(), add)
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	for name, write := range map[string]func() error{
		"Statement":         func() error { _, err := db.ExecContext(t.Context(), add); return err },
		"PreparedStatement": func() error { _, err := prepared.ExecContext(t.Context()); return err },
		"Transaction": func() error {
			return sqlx.InTx(t.Context(), db, increment, &sqlx.TxOptions{MaxAttempts: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := number(t, db, `SELECT value FROM counter`)
			holder, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := holder.Exec(add); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(50*time.Millisecond, func() { holder.Commit() })
			if err := write(); err != nil {
				t.Errorf("write = %v, want nil", err)
			}
			if got := number(t, db, `SELECT value FROM counter`); got != before+2 {
				t.Errorf("counter = %d, want %d", got, before+2)
			}
		})
	}
}

// upgradeWaits: another process writes between a transaction's read and its write.
func upgradeWaits(t *testing.T) {
	dsn := sqlxtest.DSN(t, sqlx.SQLite)
	db, other := openReplica(t, sqlx.SQLite, dsn), openReplica(t, sqlx.SQLite, dsn)
	counterTable(t, db)
	done := make(chan error, 1)
	err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
		var v int
		if err := tx.QueryRowContext(ctx, `SELECT value FROM counter`).Scan(&v); err != nil {
			return err
		}
		go func() {
			_, err := other.Exec(`UPDATE counter SET value = value + 1`)
			done <- err
		}()
		select {
		case err := <-done:
			t.Errorf("the other's write ended with %v before this transaction did", err)
			done <- err
		case <-time.After(100 * time.Millisecond):
		}
		_, err := tx.ExecContext(ctx, `UPDATE counter SET value = $1`, v+1)
		return err
	}, &sqlx.TxOptions{MaxAttempts: 1})
	if err := errors.Join(err, <-done); err != nil {
		t.Error(err)
	}
	if got := number(t, db, `SELECT value FROM counter`); got != 2 {
		t.Errorf("counter = %d, want 2", got)
	}
}

func panicRollsBack(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		counterTable(t, db)
		sqlx.SetMaxOpen(db, 1)
		type boom struct{ n int }
		value := &boom{7}
		func() {
			defer func() {
				if got := recover(); got != value {
					t.Errorf("recovered %v, want the very value %v", got, value)
				}
				if stack := string(debug.Stack()); !strings.Contains(stack, "explode") {
					t.Errorf("the stack lost where the panic began:\n%s", stack)
				}
			}()
			sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				if err := increment(ctx, tx); err != nil {
					return err
				}
				explode(value)
				return nil
			}, nil)
		}()
		free(t, db)

		done := make(chan struct{})
		go func() {
			defer close(done)
			sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
				if err := increment(ctx, tx); err != nil {
					return err
				}
				runtime.Goexit()
				return nil
			}, nil)
		}()
		<-done
		free(t, db)
		if got := number(t, db, `SELECT value FROM counter`); got != 0 {
			t.Errorf("counter = %d, want 0: rolled back", got)
		}
	})
}

//go:noinline
func explode(v any) { panic(v) }

// free wants the one connection back, and a transaction on it at once.
func free(t *testing.T, db *sql.DB) {
	t.Helper()
	if got := db.Stats().InUse; got != 0 {
		t.Errorf("connections in use = %d, want 0", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sqlx.InTx(ctx, db, func(context.Context, *sql.Tx) error { return nil }, nil); err != nil {
		t.Errorf("the next transaction: %v", err)
	}
}

func readOnly(t *testing.T) {
	db := sqlxtest.Postgres(t)
	counterTable(t, db)
	err := sqlx.InTx(t.Context(), db, increment, &sqlx.TxOptions{ReadOnly: true})
	var state interface{ SQLState() string }
	if !errors.As(err, &state) || state.SQLState() != "25006" {
		t.Errorf("writing in a read-only transaction = %v, want 25006", err)
	}
}

func nested(t *testing.T) {
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) {
		nothing := func(context.Context, *sql.Tx) error { return nil }
		other := sqlxtest.SQLite(t)
		var escaped context.Context
		err := sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
			escaped = ctx
			if err := sqlx.InTx(ctx, db, nothing, nil); !errors.Is(err, sqlx.ErrNested) {
				t.Errorf("InTx within InTx = %v, want %v", err, sqlx.ErrNested)
			}
			return sqlx.InTx(ctx, other, func(ctx context.Context, tx *sql.Tx) error {
				if err := sqlx.InTx(ctx, db, nothing, nil); !errors.Is(err, sqlx.ErrNested) {
					t.Errorf("InTx within another pool's within InTx = %v, want %v", err, sqlx.ErrNested)
				}
				return nil
			}, nil)
		}, nil)
		if err != nil {
			t.Error(err)
		}
		if err := sqlx.InTx(escaped, db, nothing, nil); err != nil {
			t.Errorf("InTx on the context of one that is over = %v, want nil", err)
		}
	})
}

func commitUnknown(t *testing.T) {
	dsn := sqlxtest.DSN(t, sqlx.Postgres)
	p := newProxy(t, dsn)
	p.start(t)
	db, err := sqlx.Open(t.Context(), sqlx.Postgres, p.DSN, &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	counterTable(t, db)
	runs, called := 0, false
	err = sqlx.InTx(t.Context(), db, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		sqlx.AfterCommit(ctx, func() { called = true })
		defer p.cutNext()
		return increment(ctx, tx)
	}, nil)
	if !errors.Is(err, sqlx.ErrCommitUnknown) || runs != 1 || called {
		t.Errorf("InTx = %v, runs %d, AfterCommit called %v; want %v, 1, false", err, runs, called, sqlx.ErrCommitUnknown)
	}
}
