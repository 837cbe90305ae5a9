package httpserver

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// conns is a listener that knows its open connections, and bounds how many there are. net/http knows them too, but
// tells neither which of them have never been used nor what became of those that a handler took over.
type conns struct {
	net.Listener
	slots   chan struct{} // one in it for each open connection; nil is no limit
	closing chan struct{}
	once    sync.Once

	mu   sync.Mutex
	open map[*tracked]struct{}
}

// watch returns ln with at most limit connections open at a time, limit <= 0 for any number.
func watch(ln net.Listener, limit int) *conns {
	c := &conns{Listener: ln, closing: make(chan struct{}), open: make(map[*tracked]struct{})}
	if limit > 0 {
		c.slots = make(chan struct{}, limit)
	}
	return c
}

// Accept does not take a connection from the system before there is room for it.
func (c *conns) Accept() (net.Conn, error) {
	if c.slots != nil {
		select {
		case c.slots <- struct{}{}:
		case <-c.closing:
			return nil, net.ErrClosed
		}
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		c.free()
		return nil, err
	}
	return c.track(conn), nil
}

// Close also ends an Accept that waits for room.
func (c *conns) Close() error {
	c.once.Do(func() { close(c.closing) })
	return c.Listener.Close()
}

func (c *conns) free() {
	if c.slots != nil {
		<-c.slots
	}
}

// each calls f for every open connection in the state.
func (c *conns) each(in connState, f func(*tracked)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.open {
		if connState(t.state.Load()) == in {
			f(t)
		}
	}
}

// count returns how many are open in the state.
func (c *conns) count(in connState) (n int) {
	c.each(in, func(*tracked) { n++ })
	return n
}

// closeAll closes those in the state that have been open for at least age, and returns how many are left in it.
func (c *conns) closeAll(in connState, age time.Duration) (left int) {
	var old []*tracked
	c.each(in, func(t *tracked) {
		if time.Since(t.since) < age {
			left++
			return
		}
		old = append(old, t)
	})
	for _, t := range old {
		_ = t.conn.Close() // it is gone either way
		t.closed()
	}
	return left
}

type connState int32

const (
	connFresh    connState = iota // no request has arrived yet
	connUsed                      // net/http's
	connHijacked                  // a handler's
)

// tracked is what is known of a connection.
type tracked struct {
	owner *conns
	conn  net.Conn
	since time.Time
	state atomic.Int32 // connState
	once  sync.Once
}

func (t *tracked) tracking() *tracked { return t }

func (t *tracked) closed() {
	t.once.Do(func() {
		t.owner.mu.Lock()
		delete(t.owner.open, t)
		t.owner.mu.Unlock()
		t.owner.free()
	})
}

// track returns conn in a type that tells when it is closed and has all other methods of conn's own, sendfile's among
// them. A handler that takes it over loses the type assertion to *net.TCPConn and nothing else.
func (c *conns) track(conn net.Conn) net.Conn {
	t := &tracked{owner: c, conn: conn, since: time.Now()}
	c.mu.Lock()
	c.open[t] = struct{}{}
	c.mu.Unlock()
	switch conn := conn.(type) {
	case *net.TCPConn:
		return tcpConn{conn, t}
	case *net.UnixConn:
		return unixConn{conn, t}
	}
	return otherConn{conn, t}
}

type tcpConn struct {
	*net.TCPConn
	*tracked
}

func (c tcpConn) Close() error {
	defer c.closed()
	return c.TCPConn.Close()
}

// NetConn returns the connection within.
func (c tcpConn) NetConn() net.Conn { return c.TCPConn }

type unixConn struct {
	*net.UnixConn
	*tracked
}

func (c unixConn) Close() error {
	defer c.closed()
	return c.UnixConn.Close()
}

// NetConn returns the connection within.
func (c unixConn) NetConn() net.Conn { return c.UnixConn }

type otherConn struct {
	net.Conn
	*tracked
}

func (c otherConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// NetConn returns the connection within.
func (c otherConn) NetConn() net.Conn { return c.Conn }

// noteState is the ConnState hook: net/http calls it twice for each request, so it takes no lock.
func noteState(c net.Conn, state http.ConnState) {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	t, ok := c.(interface{ tracking() *tracked })
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		t.tracking().state.CompareAndSwap(int32(connFresh), int32(connUsed))
	case http.StateHijacked:
		t.tracking().state.Store(int32(connHijacked))
	case http.StateNew, http.StateIdle, http.StateClosed: // told by the connection itself, or of no interest
	}
}
