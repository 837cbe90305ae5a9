package sqlxtest_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// proxy stands between a client and the PostgreSQL server of dsn, on a TCP port.
type proxy struct {
	DSN string // like dsn, by way of the proxy

	addr, socket string
	mu           sync.Mutex
	listener     net.Listener
	conns        []net.Conn
	cutting      bool
	cutAt        string // within the statement that is to be cut
	wg           sync.WaitGroup
}

// newProxy returns a proxy that does not listen yet.
func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	host := u.Query().Get("host")
	if host == "" {
		t.Skip("needs the private server's socket")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), socket: filepath.Join(host, ".s.PGSQL.5432")}
	l.Close()
	q := u.Query()
	q.Del("host")
	u.Host, u.RawQuery = p.addr, q.Encode()
	p.DSN = u.String()
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = l
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", p.socket)
			if err != nil {
				client.Close()
				continue
			}
			p.join(client, server)
		}
	})
}

func (p *proxy) join(client, server net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, client, server)
	p.wg.Go(func() { io.Copy(client, server); client.Close() })
	p.wg.Go(func() {
		defer server.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if p.cuts(buf[:n]) {
				// The statement reaches the server; its answer does not come back.
				client.Close()
				server.Write(buf[:n])
				return
			}
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	})
}

// cutNext has the next statement's answer lost, and its connection with it.
func (p *proxy) cutNext() { p.cut("") }

// cut is cutNext for the next statement that has text in it.
func (p *proxy) cut(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutting, p.cutAt = true, text
}

func (p *proxy) cuts(packet []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut := p.cutting && bytes.Contains(packet, []byte(p.cutAt))
	p.cutting = p.cutting && !cut
	return cut
}

func (p *proxy) stop() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
	}
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
