package sqlx

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// errUnfit says that the driver cannot be used at all.
var errUnfit = errors.New("sqlx: the driver lacks the context methods of database/sql/driver")

// connector opens connections that are measured.
type connector struct {
	next     driver.Connector
	dialect  Dialect
	pragmas  []string
	queue    writeQueue
	lifetime time.Duration
	observer *observer
}

func newConnector(d Dialect, dsn string, opt Options) (*connector, error) {
	c := &connector{dialect: d, lifetime: opt.ConnMaxLifetime}
	if d == SQLite {
		c.pragmas, c.queue = pragmas(dsn), newWriteQueue()
		dsn = withImmediate(dsn)
	}
	drv, err := findDriver(d, opt.Driver, dsn)
	if err != nil {
		return nil, err
	}
	c.next = dsnConnector{drv, dsn}
	if dc, ok := drv.(driver.DriverContext); ok {
		if c.next, err = dc.OpenConnector(dsn); err != nil {
			return nil, errDSN(d)
		}
	}
	c.observer, err = newObserver(d, opt)
	return c, err
}

// Connect opens one connection and, for SQLite, sets it up.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	dc, err := c.next.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := dc.(contextConn)
	if !ok {
		return nil, errors.Join(errUnfit, dc.Close())
	}
	for _, p := range c.pragmas {
		if _, err := inner.ExecContext(ctx, p, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", p, err), dc.Close())
		}
	}
	w := &conn{contextConn: inner, observer: c.observer, queue: c.queue}
	if c.lifetime > 0 {
		w.expires = time.Now().Add(c.lifetime*4/5 + rand.N(c.lifetime/5+1))
	}
	return w, nil
}

// Driver returns the driver's own.
func (c *connector) Driver() driver.Driver { return c.next.Driver() }

// Close closes the driver's connector where that can be closed.
func (c *connector) Close() error {
	if cl, ok := c.next.(io.Closer); ok {
		return cl.Close()
	}
	return nil
}

// dsnConnector is the connector of a driver that has none.
type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }
