package httpserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// cleartext is HTTP/1.1, and HTTP/2 by prior knowledge.
func cleartext() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// http2Client returns a client that speaks nothing but HTTP/2, without TLS.
func (p *piped) http2Client(t *testing.T) *http.Client {
	tr := p.ln.Transport()
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (p *piped) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := p.ln.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestDrainOfConnections(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

	t.Run("ClosesOnesThatWereNeverUsed", func(t *testing.T) {
		for _, age := range []time.Duration{0, 10 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				p := startPiped(t, hello, httpserver.Options{})
				conn := p.dial(t)
				time.Sleep(age)
				err, took := p.wait()
				if limit := max(time.Second-age, 0) + 50*time.Millisecond; err != nil || took > limit {
					t.Errorf("open for %v: Run: %v after %v, want nil within %v", age, err, took, limit)
				}
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("the connection: %v, want EOF", err)
				}
			})
		}
	})
	t.Run("ServesTheFirstRequestOfOneThatIsNew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, hello, httpserver.Options{})
			conn := p.dial(t)
			synctest.Wait()
			p.stop()
			time.Sleep(500 * time.Millisecond) // net/http would drop what it reads now
			fmt.Fprint(conn, get)
			answer, _ := io.ReadAll(conn)
			if got := string(answer); len(got) < 15 || got[:15] != "HTTP/1.1 200 OK" {
				t.Errorf("got %q, want an answer", got)
			}
			if err, took := p.wait(); err != nil || took > 100*time.Millisecond {
				t.Errorf("Run: %v after %v more, want nil at once", err, took)
			}
		})
	})
	t.Run("AsksHTTP2ClientsToComeBackElsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					<-release
				}
				fmt.Fprint(w, r.RemoteAddr, r.Proto)
			}), httpserver.Options{Protocols: cleartext()})
			client := p.http2Client(t)
			dials := 0
			tr := client.Transport.(*http.Transport)
			dial := tr.DialContext
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials++
				return dial(ctx, network, addr)
			}
			fetch := func(path string) {
				resp, err := client.Get("http://x" + path)
				if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != 200 {
					t.Errorf("%s: %v, %v, want 200 over HTTP/2", path, resp, err)
					return
				}
				resp.Body.Close()
			}
			fetch("/")
			fetch("/")
			if dials != 1 {
				t.Errorf("%d connections before Drain, want 1", dials)
			}
			var slow sync.WaitGroup
			slow.Go(func() { fetch("/slow") })
			synctest.Wait()
			p.Drain()
			fetch("/") // brings the GOAWAY
			synctest.Wait()
			fetch("/")
			if dials != 2 {
				t.Errorf("%d connections after Drain, want 2", dials)
			}
			close(release)
			slow.Wait() // its stream is not cut
			if err, _ := p.wait(); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	})
	t.Run("WaitsForOnesThatAHandlerLeftOpen", func(t *testing.T) {
		for _, ends := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				taken := make(chan net.Conn, 1)
				p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
					}
					taken <- conn // and returns
				}), httpserver.Options{DrainTimeout: 5 * time.Second})
				client := p.dial(t)
				fmt.Fprint(client, get)
				conn := <-taken
				if ends {
					time.AfterFunc(3*time.Second, func() { conn.Close() })
				}
				err, took := p.wait()
				if ends && (err != nil || took < 3*time.Second || took > 3100*time.Millisecond) {
					t.Errorf("Run: %v after %v, want nil after 3s", err, took)
				}
				if ends {
					return
				}
				var cut *httpserver.DrainError
				if want := (httpserver.DrainError{After: 5 * time.Second, Hijacked: 1}); !errors.As(err, &cut) || *cut != want {
					t.Errorf("Run: %v, want %+v", err, want)
				}
				if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("the connection: %v, want EOF", err)
				}
			})
		}
	})
	t.Run("CountsWhatItCutsByKind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/stream":
					w.(http.Flusher).Flush()
				case "/hijack":
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
				}
				<-r.Context().Done()
			}), httpserver.Options{DrainTimeout: 2 * time.Second, Protocols: cleartext()})
			var wg sync.WaitGroup
			two := p.http2Client(t)
			for path, clients := range map[string][]*http.Client{
				"/":       {p.client, two, two},
				"/stream": {p.client, two},
				"/hijack": {p.client},
			} {
				for _, c := range clients {
					wg.Go(func() {
						resp, err := c.Get("http://x" + path)
						if err == nil {
							_, err = io.ReadAll(resp.Body)
						}
						if err == nil {
							t.Errorf("%s: a whole answer, want a broken one", path)
						}
					})
				}
			}
			synctest.Wait()
			err, took := p.wait()
			var cut *httpserver.DrainError
			want := httpserver.DrainError{After: 2 * time.Second, Requests: 3, Streams: 2, Hijacked: 1}
			if !errors.As(err, &cut) || *cut != want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Run: %v, want %+v", err, want)
			}
			const text = "3 requests, 2 streams, 1 hijacked connections cut off after 2s: context deadline exceeded"
			if cut != nil && cut.Error() != text {
				t.Errorf("it says %q, want %q", cut.Error(), text)
			}
			if took > 2500*time.Millisecond {
				t.Errorf("Run took %v, want 2s and at most half a second", took)
			}
			wg.Wait()
		})
	})
}

func TestMaxConns(t *testing.T) {
	t.Run("MakesOneTooManyWait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}),
				httpserver.Options{MaxConns: 2})
			first := p.dial(t)
			p.dial(t)
			third := make(chan net.Conn)
			go func() {
				conn, err := p.ln.Dial(t.Context())
				if err != nil {
					t.Errorf("the third connection: %v", err)
				}
				third <- conn
			}()
			time.Sleep(5 * time.Second)
			select {
			case <-third:
				t.Error("a third connection was accepted, want it to wait")
			default:
			}
			first.Close()
			conn := <-third
			defer conn.Close()
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if got, err := io.ReadAll(conn); len(got) == 0 || err != nil {
				t.Errorf("the third connection got %q, %v, want an answer", got, err)
			}
			_, _ = p.wait()
		})
	})
	t.Run("CountsOnesThatHandlersTookOver", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			taken := make(chan net.Conn, 1)
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, _ := http.NewResponseController(w).Hijack()
				taken <- conn
			}), httpserver.Options{MaxConns: 1})
			fmt.Fprint(p.dial(t), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			conn := <-taken
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := p.ln.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a second connection: %v, want it to wait", err)
			}
			conn.Close()
			p.dial(t)
			_, _ = p.wait()
		})
	})
	t.Run("DoesNotHoldUpTheEnd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.NotFoundHandler(), httpserver.Options{MaxConns: 1})
			p.dial(t)
			synctest.Wait()
			if err, took := p.wait(); err != nil || took > 1100*time.Millisecond {
				t.Errorf("Run: %v after %v, want nil within about 1s", err, took)
			}
		})
	})
}
