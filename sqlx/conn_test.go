package sqlx

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeConnector connects to nothing. Its connections lack what fits says.
type fakeConnector struct{ fits bool }

func (c fakeConnector) Driver() driver.Driver { return nil }
func (c fakeConnector) Connect(context.Context) (driver.Conn, error) {
	if c.fits {
		return fakeConn{}, nil
	}
	return oldConn{}, nil
}

// oldConn has the methods of database/sql/driver from before it knew contexts.
type oldConn struct{}

func (oldConn) Prepare(string) (driver.Stmt, error) { return oldStmt{}, nil }
func (oldConn) Close() error                        { return nil }
func (oldConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }

type oldStmt struct{}

func (oldStmt) Close() error                               { return nil }
func (oldStmt) NumInput() int                              { return 0 }
func (oldStmt) Exec([]driver.Value) (driver.Result, error) { return nil, errors.ErrUnsupported }
func (oldStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, errors.ErrUnsupported }

type fakeConn struct{ oldConn }

func (fakeConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return nil, errors.ErrUnsupported
}
func (fakeConn) PrepareContext(context.Context, string) (driver.Stmt, error) { return oldStmt{}, nil }
func (fakeConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return nil, errors.ErrUnsupported
}
func (fakeConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return nil, errors.ErrUnsupported
}

func TestADriverWithoutContextsIsRefused(t *testing.T) {
	_, err := (&connector{next: fakeConnector{}}).Connect(t.Context())
	if !errors.Is(err, errUnfit) || !hopeless(Postgres, err) {
		t.Errorf("Connect = %v, want %v, for good", err, errUnfit)
	}
}

func TestConnectionsAgeApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = time.Hour
		c := &connector{lifetime: lifetime, next: fakeConnector{fits: true}}
		var conns []driver.Validator
		for range 200 {
			dc, err := c.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, dc.(driver.Validator))
		}
		valid := func() (n int) {
			for _, c := range conns {
				if c.IsValid() {
					n++
				}
			}
			return n
		}
		time.Sleep(lifetime * 4 / 5)
		if got := valid(); got != 200 {
			t.Errorf("at 80%% of the lifetime %d of 200 connections are valid, want all", got)
		}
		time.Sleep(lifetime / 10)
		if got := valid(); got < 50 || got > 150 {
			t.Errorf("at 90%% of the lifetime %d of 200 connections are valid, want about half", got)
		}
		time.Sleep(lifetime/10 + 1)
		if got := valid(); got != 0 {
			t.Errorf("after the lifetime %d of 200 connections are valid, want none", got)
		}
	})
}

func TestWriteQueue(t *testing.T) {
	t.Run("FirstComeFirstServed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newWriteQueue()
			if !q.enter(t.Context()) {
				t.Fatal("enter = false on an empty queue")
			}
			var order []int
			var wg sync.WaitGroup
			for i := range 5 {
				wg.Go(func() {
					if q.enter(t.Context()) {
						order = append(order, i)
						q.leave()
					}
				})
				synctest.Wait()
			}
			q.leave()
			wg.Wait()
			if want := []int{0, 1, 2, 3, 4}; !slices.Equal(order, want) {
				t.Errorf("order = %v, want %v", order, want)
			}
		})
	})
	t.Run("GivesUp", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newWriteQueue()
			q.enter(t.Context())
			start := time.Now()
			if q.enter(t.Context()) {
				t.Error("enter = true while another is inside")
			}
			if took := time.Since(start); took != busyTimeout {
				t.Errorf("enter gave up after %v, want %v", took, busyTimeout)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start = time.Now()
			if q.enter(ctx) || time.Since(start) != time.Second {
				t.Errorf("enter gave up after %v, want when its context ends", time.Since(start))
			}
		})
	})
	t.Run("NilIsNone", func(t *testing.T) {
		var q writeQueue
		if q.enter(t.Context()) {
			t.Error("enter of a nil queue = true, want false")
		}
	})
}
