package sqlx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
)

const (
	defaultMaxAttempts = 10
	txMinBackoff       = 2 * time.Millisecond
	txMaxBackoff       = 500 * time.Millisecond
)

// TxOptions adjusts [InTx]. Nil, and the zero value of every field, mean the defaults.
type TxOptions struct {
	// Isolation is the isolation level. Zero means the database's default: read committed on PostgreSQL, serialisable
	// on SQLite, which has no other.
	Isolation sql.IsolationLevel
	// ReadOnly says that the transaction writes nothing. PostgreSQL refuses a write then; SQLite lets the transaction
	// run beside a writer. False means that it may write.
	ReadOnly bool
	// MaxAttempts bounds how often the callback is run when the database reports a conflict ([IsConflict]). Zero means
	// 10; one or a negative number means once.
	MaxAttempts int
}

// InTx runs f in a transaction of db: it commits when f returns nil and rolls back when f returns an error, panics or
// calls runtime.Goexit. A panic goes on to the caller as it was.
//
// When f, or the commit, meets a conflict ([IsConflict]), InTx rolls back and runs f again in a new transaction, after
// a random pause between 2ms and 2ms·2ⁿ, the latter at most 500ms, until MaxAttempts are used up or ctx ends; the error
// returned then matches the driver's. So f runs more than once: what it does outside tx must bear that, and what
// depends on the commit goes into [AfterCommit]. No other error is tried again. Where a connection is lost during the
// commit, the error matches [ErrCommitUnknown].
//
// f must neither commit nor roll back tx, and must use the ctx it is given: InTx on that context and the same db is
// refused with [ErrNested].
func InTx(ctx context.Context, db *sql.DB, f func(ctx context.Context, tx *sql.Tx) error, o *TxOptions) error {
	outer, _ := ctx.Value(txKey{}).(*txState)
	if outer.has(db) {
		return ErrNested
	}
	var opt TxOptions
	if o != nil {
		opt = *o
	}
	if opt.MaxAttempts == 0 {
		opt.MaxAttempts = defaultMaxAttempts
	}
	for attempt := 1; ; attempt++ {
		s := &txState{db: db, outer: outer}
		err := runTx(ctx, s, f, opt)
		if err == nil {
			s.runHooks()
			return nil
		}
		if !IsConflict(err) || errors.Is(err, ErrCommitUnknown) {
			return err
		}
		if attempt >= opt.MaxAttempts {
			return fmt.Errorf("sqlx: transaction gave up after %d attempts: %w", attempt, err)
		}
		if cause := pause(ctx, backoff.Delay(attempt, txMinBackoff, txMaxBackoff)); cause != nil {
			return fmt.Errorf("sqlx: transaction gave up after %d attempts: %w: %w", attempt, cause, err)
		}
	}
}

// runTx makes one attempt.
func runTx(ctx context.Context, s *txState, f func(context.Context, *sql.Tx) error, opt TxOptions) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: opt.Isolation, ReadOnly: opt.ReadOnly})
	if err != nil {
		return fmt.Errorf("sqlx: begin: %w", err)
	}
	committed := false
	defer func() {
		// No recover: the panic keeps its value and its stack, and Goexit is seen here too.
		s.close()
		if !committed {
			// Its error is of no use: the transaction is over already, or its connection is, and the server rolls back.
			_ = tx.Rollback()
		}
	}()
	if err := f(context.WithValue(ctx, txKey{}, s), tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		if commitUnknown(ctx, err) {
			return fmt.Errorf("%w: %w", ErrCommitUnknown, err)
		}
		if ctx.Err() != nil && errors.Is(err, sql.ErrTxDone) {
			// database/sql rolled back when ctx ended, and tells of the first alone.
			return fmt.Errorf("sqlx: commit: %w: %w", context.Cause(ctx), err)
		}
		return fmt.Errorf("sqlx: commit: %w", err)
	}
	committed = true
	return nil
}

// pause waits for d and returns the cause when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// AfterCommit has f called once the [InTx] that ctx belongs to has committed, and reports true. Where the attempt is
// rolled back, to be run again or for good, or where the outcome of its commit is unknown, f is dropped. The functions
// of one transaction are called in the order they were given, by InTx, before it returns; a slow one delays it.
//
// Where ctx belongs to no InTx, or to one that is over, AfterCommit reports false and f is never called: whether the
// work was committed, or ever will be, only the caller knows.
func AfterCommit(ctx context.Context, f func()) bool {
	s, ok := ctx.Value(txKey{}).(*txState)
	return ok && s.add(f)
}

type txKey struct{}

// txState is one attempt of one InTx.
type txState struct {
	db    *sql.DB
	outer *txState // that of another pool, around this one

	mu    sync.Mutex
	over  bool
	hooks []func()
}

// has reports whether s, which may be nil, or one around it is an open transaction of db.
func (s *txState) has(db *sql.DB) bool {
	for ; s != nil; s = s.outer {
		if s.db == db && s.open() {
			return true
		}
	}
	return false
}

func (s *txState) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.over
}

func (s *txState) add(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.hooks = append(s.hooks, f)
	return true
}

func (s *txState) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// runHooks is called when the attempt is over, so that hooks has no other user.
func (s *txState) runHooks() {
	for _, f := range s.hooks {
		f()
	}
}
