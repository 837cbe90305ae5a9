package httpserver_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/mainstay-go/mainstay/auth/mtls"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// tool returns the path of a program that scripts/tools installs. Tests with programs run where MAINSTAY_TEST_REAL is 1.
func tool(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("MAINSTAY_TEST_REAL") != "1" {
		t.Skip("MAINSTAY_TEST_REAL is not 1: no real client")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v", name, err)
		}
		t.Skipf("%s is not installed: scripts/tools", name)
	}
	return path
}

// output returns what a program writes.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// unseen are options whose telemetry goes nowhere, for servers under load.
func unseen(o httpserver.Options) *httpserver.Options {
	o.Logger, o.TracerProvider, o.Registerer = slog.New(slog.DiscardHandler), noop.NewTracerProvider(), prometheus.NewRegistry()
	o.Unauthenticated = true
	return &o
}

func TestCurl(t *testing.T) {
	curl := tool(t, "curl")
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	issue(t, cert, key)
	files, err := mtls.Load(cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		fmt.Fprint(w, "hello")
	})
	plain, _ := start(t, httpserver.New(mux, unseen(httpserver.Options{Addr: "127.0.0.1:0", Protocols: cleartext()})))
	secure := httpserver.New(mux, unseen(httpserver.Options{
		Addr: "127.0.0.1:0", TLS: &tls.Config{GetCertificate: files.GetCertificate},
	}))
	start(t, secure)
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"HTTP1", []string{"--http1.1", plain}, "hello 200 1.1"},
		{"H2C", []string{"--http2-prior-knowledge", plain}, "hello 200 2"},
		{"TLS", []string{"--http1.1", "--cacert", cert, "https://" + secure.Addr()}, "hello 200 1.1"},
		{"TLSHTTP2", []string{"--http2", "--cacert", cert, "https://" + secure.Addr()}, "hello 200 2"},
		{"TooLarge", []string{"--http1.1", "--data-binary", "@" + large, plain}, " 413 1.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--silent", "--show-error", "--max-time", "60", "--write-out", " %{http_code} %{http_version}"}, c.args...)
			if got := output(t, curl, args...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// eventSource and eventFetch write the first five events of a stream. The second is for Node.js before 20.18.
const (
	eventSource = `
		const s = new EventSource(process.argv[1]); let n = 0;
		s.onmessage = e => { console.log(e.lastEventId, e.data); if (++n === 5) { s.close(); process.exit(0); } };
		setTimeout(() => { console.log("too slow"); process.exit(1); }, 60000);`
	eventFetch = `
		setTimeout(() => { console.log("too slow"); process.exit(1); }, 60000);
		(async () => {
			const answer = await fetch(process.argv[1]); let text = "", n = 0;
			for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
				const events = (text + piece).split("\n\n"); text = events.pop();
				for (const e of events) {
					console.log(e.replace(/^id: (.*)\ndata: (.*)$/, "$1 $2")); if (++n === 5) process.exit(0);
				}
			}
		})();`
)

func TestEventSourceOfNode(t *testing.T) {
	node := tool(t, "node")
	h := httpserver.Observe(newObserved().options())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i)
			w.(http.Flusher).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	defer func() { srv.Close(); <-ended }()
	args := []string{"--no-warnings", "--experimental-eventsource", "-e", eventSource}
	if exec.CommandContext(t.Context(), node, "--experimental-eventsource", "-e", "EventSource").Run() != nil {
		t.Log("this node has no EventSource: its fetch reads the stream")
		args = []string{"--no-warnings", "-e", eventFetch}
	}
	out := output(t, node, append(args, "http://"+ln.Addr().String())...)
	if want := "0 event 0\n1 event 1\n2 event 2\n3 event 3\n4 event 4\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// shared is a listener that outlives servers: each gets one of its own that takes connections from the same socket.
type shared struct {
	ln    net.Listener
	conns chan net.Conn
}

// share accepts until ln is closed. What nobody takes meanwhile waits.
func share(ln net.Listener) *shared {
	s := &shared{ln, make(chan net.Conn)}
	go func() {
		defer close(s.conns)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.conns <- c
		}
	}()
	return s
}

func (s *shared) generation() net.Listener {
	return &generation{shared: s, closed: make(chan struct{})}
}

type generation struct {
	*shared
	closed chan struct{}
	once   sync.Once
}

func (g *generation) Addr() net.Addr { return g.ln.Addr() }

func (g *generation) Accept() (net.Conn, error) {
	select {
	case c, ok := <-g.conns:
		if !ok {
			return nil, net.ErrClosed
		}
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close leaves the socket open.
func (g *generation) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}

const (
	restarts  = 5
	loadFor   = 60 * time.Second
	drainsFor = 500 * time.Millisecond // what mainstay.Options.DrainDelay is for
)

// underLoad runs load while the server behind its address is drained and started anew, again and again.
func underLoad(t *testing.T, load func(addr string) string) (out string, served int64) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := share(ln)
	defer func() {
		ln.Close()
		for c := range socket.conns { // what a client that has ended had opened
			c.Close()
		}
	}()
	var answers atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answers.Add(1)
		fmt.Fprint(w, "hello")
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		out = load(ln.Addr().String())
	}()
	tick := time.NewTicker(loadFor / (restarts + 1))
	defer tick.Stop()
	for i := range restarts + 1 {
		s := httpserver.New(handler, unseen(httpserver.Options{Protocols: cleartext()}))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, socket.generation()) }()
		if i < restarts {
			<-tick.C
		} else {
			<-done
		}
		s.Drain()
		<-time.After(drainsFor)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("generation %d: %v", i, err)
		}
	}
	return out, answers.Load()
}

func TestRestartsUnderWrkLoseNothing(t *testing.T) {
	wrk := tool(t, "wrk")
	out, served := underLoad(t, func(addr string) string {
		return output(t, wrk, "-t2", "-c200", fmt.Sprintf("-d%ds", int(loadFor.Seconds())), "--latency", "--timeout", "30s", "http://"+addr)
	})
	if m := regexp.MustCompile(`Socket errors.*|Non-2xx.*`).FindAllString(out, -1); m != nil || served == 0 {
		t.Errorf("lost with %d restarts: %q\n%s", restarts, m, out)
	}
	t.Logf("%d answers, %d restarts, 0 errors, p99 %s", served, restarts,
		regexp.MustCompile(`99%\s+(\S+)`).FindStringSubmatch(out)[1:])
}

// TestRestartsUnderHTTP2LoseNothing has Go's own client: h2load does not connect again after a GOAWAY.
func TestRestartsUnderHTTP2LoseNothing(t *testing.T) {
	if os.Getenv("MAINSTAY_TEST_REAL") != "1" {
		t.Skip("MAINSTAY_TEST_REAL is not 1: it takes a minute")
	}
	out, served := underLoad(t, func(addr string) string {
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		end := time.Now().Add(loadFor)
		for range 200 { // a connection each
			wg.Go(func() {
				tr := &http.Transport{Protocols: new(http.Protocols)}
				tr.Protocols.SetUnencryptedHTTP2(true)
				defer tr.CloseIdleConnections()
				c := &http.Client{Transport: tr, Timeout: 30 * time.Second}
				var mine []time.Duration
				for at := time.Now(); at.Before(end); at = time.Now() {
					resp, err := c.Get("http://" + addr)
					if err != nil {
						t.Errorf("a request was lost: %v", err)
						return
					}
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("status %d, %v", resp.StatusCode, err)
						return
					}
					mine = append(mine, time.Since(at))
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, mine...)
			})
		}
		wg.Wait()
		return p99(took)
	})
	t.Logf("%d answers, %d restarts, 0 errors, %s", served, restarts, out)
}

func p99(took []time.Duration) string {
	if len(took) == 0 {
		return "no requests"
	}
	slices.Sort(took)
	return fmt.Sprintf("p99 %v", took[len(took)*99/100])
}

// TestSlowHeadersDoNotKeepOthersOut has 500 connections that send a byte of their header a second.
func TestSlowHeadersDoNotKeepOthersOut(t *testing.T) {
	if os.Getenv("MAINSTAY_TEST_REAL") != "1" {
		t.Skip("MAINSTAY_TEST_REAL is not 1: it takes as long as a header may")
	}
	url, _ := start(t, httpserver.New(protocol, unseen(httpserver.Options{Addr: "127.0.0.1:0"})))
	var closed atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range 500 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Errorf("a slow connection: %v", err)
				return
			}
			defer conn.Close()
			wg.Go(func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				_, err := conn.Write([]byte("GET / HTTP/1.1\r\n"))
				for ; err == nil && time.Since(begin) < time.Minute; <-tick.C {
					_, err = conn.Write([]byte("X"))
				}
			})
			_ = conn.SetReadDeadline(begin.Add(time.Minute))
			if _, err := io.Copy(io.Discard, conn); !os.IsTimeout(err) {
				closed.Add(1)
			}
		})
	}
	stop := make(chan struct{})
	var took []time.Duration
	traffic := make(chan struct{})
	go func() {
		defer close(traffic)
		c := newClient(t)
		for {
			select {
			case <-stop:
				return
			default:
			}
			at := time.Now()
			resp, err := c.Get(url)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("normal traffic: %v, %v", resp, err)
				return
			}
			resp.Body.Close()
			took = append(took, time.Since(at))
		}
	}()
	wg.Wait()
	close(stop)
	<-traffic
	if n := closed.Load(); n != 500 {
		t.Errorf("%d of 500 slow connections were closed within a minute", n)
	}
	t.Logf("closed after %v; meanwhile %d requests, %s", time.Since(begin).Round(time.Second), len(took), p99(took))
}
