package httpclient_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/internal/pipenet"
)

// nameServer answers every A query with one address, and every other with nothing (RFC 1035).
type nameServer struct {
	conn    net.PacketConn
	address atomic.Pointer[netip.Addr]
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	var wg sync.WaitGroup
	wg.Go(s.serve)
	t.Cleanup(func() { conn.Close(); wg.Wait() })
	return s
}

func (s *nameServer) serve() {
	buf := make([]byte, 512)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = s.conn.WriteTo(s.answer(buf[:n]), from)
	}
}

// answer keeps the query's ID and question, and drops whatever follows (EDNS).
func (s *nameServer) answer(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	out := append([]byte{query[0], query[1], 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if binary.BigEndian.Uint16(query[end-4:]) != 1 {
		return out
	}
	out[7] = 1
	out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the question's name, A, IN, TTL 0
	address := s.address.Load().As4()
	return append(out, address[:]...)
}

func (s *nameServer) point(address string) {
	a := netip.MustParseAddr(address)
	s.address.Store(&a)
}

// dialer resolves by s.
func (s *nameServer) dialer() *net.Dialer {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}
	return &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: dial}}
}

// serveAt runs a server that says where it is.
func serveAt(t *testing.T, address string) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("no second loopback address here: %v", err)
	}
	srv := &httptest.Server{Listener: ln, Config: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, ln.Addr()) }),
	}}
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

func TestPoolFollowsANameThatMoves(t *testing.T) {
	port := serveAt(t, "127.0.0.1:0")
	serveAt(t, "127.0.0.2:"+port)
	names := newNameServer(t)
	get := func(rt http.RoundTripper) string {
		resp, err := (&http.Client{Transport: rt}).Get("http://users.test.:" + port)
		if err != nil {
			t.Fatal(err)
		}
		return read(t, resp)
	}
	for name, tt := range map[string]struct {
		maxAge  time.Duration
		follows bool
	}{"MaxAge": {time.Millisecond, true}, "ForEver": {-1, false}} {
		t.Run(name, func(t *testing.T) {
			names.point("127.0.0.1")
			pool := httpclient.NewPool(&httpclient.PoolOptions{
				Transport: &http.Transport{DialContext: names.dialer().DialContext}, MaxAge: tt.maxAge,
			})
			defer pool.CloseIdleConnections()
			if got, want := get(pool), "127.0.0.1:"+port; got != want {
				t.Fatalf("reached %s, want %s", got, want)
			}
			names.point("127.0.0.2")
			deadline := time.Now().Add(30 * time.Second)
			want := "127.0.0.2:" + port
			got := get(pool)
			for n := 0; got != want && (tt.follows && time.Now().Before(deadline) || n < 100); n++ {
				got = get(pool)
			}
			if (got == want) != tt.follows {
				t.Errorf("reached %s, want %s: %t", got, want, tt.follows)
			}
		})
	}
}

func TestPoolRenewsAfterMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := pipenet.New()
		next := make(chan struct{})
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				w.(http.Flusher).Flush()
				<-next
			}
			fmt.Fprint(w, "whole")
		})}
		var open atomic.Int64
		srv.ConnState = func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}
		go srv.Serve(ln)
		dials := 0
		template := &http.Transport{IdleConnTimeout: 10 * time.Minute}
		template.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { dials++; return ln.Dial(ctx) }
		pool := httpclient.NewPool(&httpclient.PoolOptions{Transport: template})
		client := &http.Client{Transport: pool}
		get := func(path string) *http.Response {
			resp, err := client.Get("http://x" + path)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		stream := get("/stream")
		for _, step := range []struct {
			after time.Duration
			dials int
			open  int64
		}{
			{0, 2, 2},                // the first is busy
			{53 * time.Second, 2, 2}, // 54s is the youngest end
			{8 * time.Second, 3, 2},  // 61s: the idle one has closed, the busy one goes on
			{time.Second, 3, 2},
			{time.Minute, 4, 2},
		} {
			time.Sleep(step.after)
			_ = read(t, get("/"))
			synctest.Wait()
			if dials != step.dials || open.Load() != step.open {
				t.Errorf("after %v more: %d dials, %d open, want %d and %d", step.after, dials, open.Load(), step.dials, step.open)
			}
		}
		close(next)
		if got := read(t, stream); got != "whole" {
			t.Errorf("the stream yields %q, want whole", got)
		}
		synctest.Wait()
		if got := open.Load(); got != 1 {
			t.Errorf("%d open once the stream has ended, want 1: its connection is too old to be kept", got)
		}
		client.CloseIdleConnections()
		synctest.Wait()
		if got := open.Load(); got != 0 {
			t.Errorf("%d open after CloseIdleConnections, want none", got)
		}
		srv.Close()
	})
}

func TestPoolClosesWhatIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := pipenet.New()
		var closed atomic.Int64
		srv := &http.Server{
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateClosed {
					closed.Add(1)
				}
			},
		}
		go srv.Serve(ln)
		pool := httpclient.NewPool(&httpclient.PoolOptions{Transport: ln.Transport()}) // for ever, says that one
		send(t, pool, request(t, t.Context(), "GET", "http://x/", nil))
		for _, want := range []int64{0, 1} {
			synctest.Wait()
			if got := closed.Load(); got != want {
				t.Errorf("%d closed, want %d", got, want)
			}
			time.Sleep(30 * time.Second)
		}
		srv.Close()
	})
}

func TestPoolUnderManyCallers(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP2=%t", h2), func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Proto)
			}))
			srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of connections that were closed while they were made
			srv.EnableHTTP2 = h2
			srv.StartTLS()
			defer srv.Close()
			pool := httpclient.NewPool(&httpclient.PoolOptions{
				Transport: srv.Client().Transport.(*http.Transport), MaxAge: 10 * time.Millisecond,
			})
			client := &http.Client{Transport: pool}
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					for range 8 {
						resp, err := client.Get(srv.URL)
						if err != nil {
							t.Error(err)
							return
						}
						if b, err := io.ReadAll(resp.Body); err != nil || (string(b) == "HTTP/2.0") != h2 {
							t.Errorf("got %q, %v", b, err)
						}
						resp.Body.Close()
					}
				})
			}
			wg.Wait()
			client.CloseIdleConnections()
		})
	}
}
