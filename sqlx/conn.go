package sqlx

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"
)

// contextConn is what a driver's connection must offer: the methods that take a context.
type contextConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

// conn is a driver's connection whose statements are measured.
type conn struct {
	contextConn
	observer *observer
	expires  time.Time // zero for never
	queue    writeQueue
	inTx     bool
	queued   bool // it is this connection's turn to write
}

// Raw returns the driver's own connection, for (*sql.Conn).Raw.
func (c *conn) Raw() driver.Conn { return c.contextConn }

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if !o.ReadOnly {
		c.enter(ctx)
	}
	obs := c.observer.begin(ctx, opBegin)
	t, err := c.contextConn.BeginTx(obs.ctx, o)
	obs.end(err)
	if err != nil {
		c.leave()
		return nil, err
	}
	c.inTx = true
	return &tx{Tx: t, ctx: ctx, conn: c}, nil
}

func (c *conn) enter(ctx context.Context) { c.queued = c.queue.enter(ctx) }

func (c *conn) leave() {
	if c.queued {
		c.queued = false
		c.queue.leave()
	}
}

// Close lets the next one write, whatever became of this one's transaction.
func (c *conn) Close() error {
	defer c.leave()
	return c.contextConn.Close()
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	op := operationOf(query)
	if !c.inTx && op.writes() {
		c.enter(ctx)
		defer c.leave()
	}
	obs := c.observer.begin(ctx, op)
	r, err := c.contextConn.ExecContext(obs.ctx, query, args)
	obs.end(err)
	return r, err
}

// QueryContext hands the rows out as the driver made them: a wrapper would hide the column types, which are optional
// interfaces of theirs.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	obs := c.observer.begin(ctx, operationOf(query))
	r, err := c.contextConn.QueryContext(obs.ctx, query, args)
	obs.end(err)
	return r, err
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	obs := c.observer.begin(ctx, opPrepare)
	s, err := c.contextConn.PrepareContext(obs.ctx, query)
	obs.end(err)
	if err != nil {
		return nil, err
	}
	inner, ok := s.(contextStmt)
	if !ok {
		return nil, errors.Join(errUnfit, s.Close())
	}
	return &stmt{contextStmt: inner, conn: c, operation: operationOf(query)}, nil
}

// Ping is not measured: health checks would outnumber statements.
func (c *conn) Ping(ctx context.Context) error {
	if p, ok := c.contextConn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

func (c *conn) ResetSession(ctx context.Context) error {
	if r, ok := c.contextConn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

// IsValid also ends a connection that has outlived its own share of the lifetime.
func (c *conn) IsValid() bool {
	if !c.expires.IsZero() && time.Now().After(c.expires) {
		return false
	}
	v, ok := c.contextConn.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.contextConn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip // database/sql's own conversion
}

// tx measures the end of a transaction.
type tx struct {
	driver.Tx
	ctx  context.Context //nolint:containedctx // of BeginTx, which database/sql keeps just so
	conn *conn
}

func (t *tx) Commit() error   { return t.finish(opCommit, t.Tx.Commit) }
func (t *tx) Rollback() error { return t.finish(opRollback, t.Tx.Rollback) }

func (t *tx) finish(op operation, f func() error) error {
	obs := t.conn.observer.begin(t.ctx, op)
	err := f()
	obs.end(err)
	t.conn.inTx = false
	t.conn.leave()
	return err
}

type contextStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// stmt is a prepared statement whose runs are measured.
type stmt struct {
	contextStmt
	conn      *conn
	operation operation
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if !s.conn.inTx && s.operation.writes() {
		s.conn.enter(ctx)
		defer s.conn.leave()
	}
	obs := s.conn.observer.begin(ctx, s.operation)
	r, err := s.contextStmt.ExecContext(obs.ctx, args)
	obs.end(err)
	return r, err
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	obs := s.conn.observer.begin(ctx, s.operation)
	r, err := s.contextStmt.QueryContext(obs.ctx, args)
	obs.end(err)
	return r, err
}

func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := s.contextStmt.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}
