package httpserver_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// overBoth runs f over HTTP/1.1 and over HTTP/2, each in a bubble of its own.
func overBoth(t *testing.T, h http.Handler, o httpserver.Options, f func(*testing.T, *piped, *http.Client)) {
	o.Protocols = cleartext()
	for _, version := range []string{"HTTP1", "HTTP2"} {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := startPiped(t, h, o)
				client := p.client
				if version == "HTTP2" {
					client = p.http2Client(t)
				}
				f(t, p, client)
				_, _ = p.wait()
			})
		})
	}
}

// bySteps reads slowly: it waits between pieces of 64 KiB.
func bySteps(body io.Reader, wait time.Duration) (n int64, err error) {
	for {
		got, err := io.CopyN(io.Discard, body, 64<<10)
		n += got
		if err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		time.Sleep(wait)
	}
}

func TestWriteTimeoutMovesWithProgress(t *testing.T) {
	const timeout = time.Second
	opts := httpserver.Options{WriteTimeout: timeout, Timeout: timeout}

	t.Run("AStreamMayBeSilent", func(t *testing.T) {
		overBoth(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				fmt.Fprint(w, "data: x\n\n")
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Errorf("Flush: %v", err)
				}
				time.Sleep(5 * timeout)
			}
			if r.Context().Err() != nil {
				t.Errorf("the context of a stream ended: %v", r.Context().Err())
			}
			fmt.Fprint(w, "end")
		}), opts, func(t *testing.T, _ *piped, c *http.Client) {
			resp, err := c.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Repeat("data: x\n\n", 3) + "end"
			if got, err := io.ReadAll(resp.Body); string(got) != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	})
	t.Run("ADownloadMayBeLong", func(t *testing.T) {
		const size = 12 << 20 // above what an HTTP/2 client of Go's takes unread
		for name, send := range map[string]func(w http.ResponseWriter){
			"InOneWrite":  func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, size)) },
			"InOneString": func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("x", size)) },
			"InPieces": func(w http.ResponseWriter) {
				for range size >> 10 {
					_, _ = w.Write(make([]byte, 1<<10))
				}
			},
			"Copied": func(w http.ResponseWriter) { _, _ = io.Copy(w, io.LimitReader(rand.Reader, size)) },
		} {
			t.Run(name, func(t *testing.T) {
				overBoth(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { send(w) }), opts,
					func(t *testing.T, _ *piped, c *http.Client) {
						resp, err := c.Get("http://x/")
						if err != nil {
							t.Fatal(err)
						}
						defer resp.Body.Close()
						if n, err := bySteps(resp.Body, timeout/5); n != size || err != nil {
							t.Errorf("got %d bytes, %v, want all %d", n, err, size)
						}
					})
			})
		}
	})
	t.Run("ASlowSourceIsNoStalledReader", func(t *testing.T) {
		overBoth(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.Copy(w, &slowReader{wait: 3 * timeout}); err != nil {
				t.Errorf("Copy: %v", err)
			}
		}), opts, func(t *testing.T, p *piped, c *http.Client) {
			resp, err := c.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); n != 5*32<<10 || err != nil {
				t.Errorf("got %d bytes, %v, want %d", n, err, 5*32<<10)
			}
		})
	})
	t.Run("AReaderThatStallsIsCutOff", func(t *testing.T) {
		var took atomic.Int64
		overBoth(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			begin := time.Now()
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 32<<10))
			}
			took.Store(int64(time.Since(begin)))
		}), opts, func(t *testing.T, _ *piped, c *http.Client) {
			resp, err := c.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			time.Sleep(10 * timeout)
			if got := time.Duration(took.Load()); got < timeout*7/8 || got > timeout {
				t.Errorf("the handler was held up for %v, want about %v", got, timeout)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("the half was taken for the whole")
			}
		})
	})
	t.Run("AHandlerThatSetsItHasItsOwn", func(t *testing.T) {
		const size = 12 << 20
		overBoth(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Errorf("SetWriteDeadline: %v", err)
			}
			_, _ = w.Write(make([]byte, size))
		}), opts, func(t *testing.T, _ *piped, c *http.Client) {
			resp, err := c.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			time.Sleep(30 * timeout)
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				t.Errorf("got %d bytes, %v, want all %d", n, err, size)
			}
		})
	})
	t.Run("AnAnswerThatHasNotBegunDoesNotMoveIt", func(t *testing.T) {
		overBoth(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "is held back")
			time.Sleep(2 * timeout)
			fmt.Fprint(w, "late")
			_ = http.NewResponseController(w).Flush()
		}), opts, func(t *testing.T, _ *piped, c *http.Client) {
			if resp, err := c.Get("http://x/"); err == nil {
				t.Errorf("status %d, want a broken answer", resp.StatusCode)
			}
		})
	})
}

// slowReader gives 32 KiB five times, and waits before each but the first.
type slowReader struct {
	given int
	wait  time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.given == 5*32<<10 {
		return 0, io.EOF
	}
	if r.given > 0 && r.given%(32<<10) == 0 {
		time.Sleep(r.wait)
	}
	n := min(len(p), 32<<10-r.given%(32<<10))
	r.given += n
	return n, nil
}

func TestFilesAreSentByTheSystem(t *testing.T) {
	want := make([]byte, 1<<20+17)
	_, _ = rand.Read(want)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	mux.HandleFunc("/copy", func(w http.ResponseWriter, _ *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Length", fmt.Sprint(len(want)))
		if n, err := io.Copy(w, f); n != int64(len(want)) || err != nil {
			t.Errorf("Copy: %d, %v, want %d", n, err, len(want))
		}
	})
	mux.HandleFunc("/conn", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, ok := conn.(io.ReaderFrom); !ok {
			t.Errorf("%T has no ReadFrom: no sendfile", conn)
		}
		within, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			t.Errorf("%T has no NetConn", conn)
		} else if _, ok := within.NetConn().(*net.TCPConn); !ok {
			t.Errorf("within is a %T, want a *net.TCPConn", within.NetConn())
		}
	})
	url, _ := start(t, httpserver.New(mux, newObserved().server(httpserver.Options{Addr: "127.0.0.1:0"})))
	c := newClient(t)
	for _, p := range []string{"/file", "/copy"} {
		if _, got := send(t, c, request(t, "GET", url+p, nil)); !bytes.Equal([]byte(got), want) {
			t.Errorf("%s: %d bytes that differ, want the file's %d", p, len(got), len(want))
		}
	}
	r := request(t, "GET", url+"/file", nil)
	r.Header.Set("Range", "bytes=300000-700000")
	if _, got := send(t, c, r); !bytes.Equal([]byte(got), want[300000:700001]) {
		t.Errorf("a range: %d bytes that differ", len(got))
	}
	if _, err := c.Do(request(t, "GET", url+"/conn", nil)); !errors.Is(err, io.EOF) {
		t.Errorf("/conn: %v, want EOF", err)
	}
}
