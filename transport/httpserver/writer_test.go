package httpserver_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// basic is a writer with the three methods that every writer has.
type basic struct{ rec *httptest.ResponseRecorder }

func (w basic) Header() http.Header { return w.rec.Header() }

func (w basic) Write(p []byte) (int, error) { return w.rec.Write(p) }

func (w basic) WriteHeader(status int) { w.rec.WriteHeader(status) }

func TestWriter(t *testing.T) {
	t.Run("FlushesOnBothProtocols", func(t *testing.T) {
		for _, h2 := range []bool{false, true} {
			release := make(chan struct{})
			srv := httptest.NewUnstartedServer(httpserver.Observe(newObserved().options())(http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprint(w, "0123456789")
					w.(http.Flusher).Flush()
					fmt.Fprint(w, "0123456789")
					if err := http.NewResponseController(w).Flush(); err != nil {
						t.Errorf("Flush: %v", err)
					}
					if _, ok := w.(http.Pusher); ok != h2 {
						t.Errorf("HTTP/2 %t: can push %t", h2, ok)
					}
					if _, ok := w.(http.Hijacker); ok == h2 {
						t.Errorf("HTTP/2 %t: can be hijacked %t", h2, ok)
					}
					if h2 {
						if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
							t.Errorf("Hijack on HTTP/2: %v, want ErrNotSupported", err)
						}
					}
					<-release
				})))
			srv.EnableHTTP2 = h2
			srv.StartTLS()
			resp, err := srv.Client().Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			if (resp.ProtoMajor == 2) != h2 {
				t.Errorf("HTTP/%d, want HTTP/2 %t", resp.ProtoMajor, h2)
			}
			// The handler is still running: what arrives was flushed.
			if _, err := io.ReadFull(resp.Body, make([]byte, 20)); err != nil {
				t.Errorf("HTTP/%d: %v, want 20 bytes", resp.ProtoMajor, err)
			}
			close(release)
			resp.Body.Close()
			srv.Close()
		}
	})
	t.Run("HijacksWhereThatIsPossible", func(t *testing.T) {
		obs := newObserved()
		url, stop := start(t, httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			rw.Flush()
		}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
		if resp, _ := send(t, newClient(t), request(t, "GET", url, nil)); resp.StatusCode != 204 {
			t.Errorf("status %d, want the handler's own 204", resp.StatusCode)
		}
		if err := stop(); err != nil { // the handler has returned
			t.Errorf("Run: %v", err)
		}
		if got := obs.series(t); got["GET  101"] != 1 {
			t.Errorf("series %v, want 101 for what was taken over", got)
		}
	})
	t.Run("ClaimsWhatIsThereAndNoMore", func(t *testing.T) {
		for _, w := range writers(basic{httptest.NewRecorder()}) {
			called := false
			h := httpserver.Observe(newObserved().options())(http.HandlerFunc(func(got http.ResponseWriter, _ *http.Request) {
				called = true
				if g, w := can(got), can(w); g != w {
					t.Errorf("%T became able to %v, want %v", w, g, w)
				}
			}))
			h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			if !called {
				t.Errorf("%v: the handler was not called", can(w))
			}
		}
		noFlush := httpserver.Observe(newObserved().options())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("Flush: %v, want ErrNotSupported", err)
			}
		}))
		noFlush.ServeHTTP(basic{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil))
	})
	t.Run("PassesPushesOn", func(t *testing.T) {
		for _, w := range writers(basic{httptest.NewRecorder()}) {
			if _, ok := w.(http.Pusher); !ok {
				continue
			}
			h := httpserver.Observe(newObserved().options())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if err := w.(http.Pusher).Push("/style.css", nil); !errors.Is(err, errPushed) {
					t.Errorf("Push: %v, want what the writer below says", err)
				}
			}))
			h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		}
	})
	t.Run("CountsTheBytesOfEachWay", func(t *testing.T) {
		obs := newObserved()
		url, _ := start(t, httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = w.Write([]byte("abc"))
			_, _ = io.WriteString(w, "def")
			// Hidden, because a strings.Reader would write itself and never be read from.
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("ghi")})
		}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
		_, body := send(t, newClient(t), request(t, "GET", url, nil))
		if line := obs.lines(t)[0]; body != "abcdefghi" || line["bytes"] != 9.0 || line["status"] != 200.0 {
			t.Errorf("body %q, line %v, want 9 bytes and 200", body, line)
		}
	})
}

// can says which optional methods w has.
func can(w http.ResponseWriter) [4]bool {
	_, f := w.(http.Flusher)
	_, h := w.(http.Hijacker)
	_, r := w.(io.ReaderFrom)
	_, p := w.(http.Pusher)
	return [4]bool{f, h, r, p}
}

var errPushed = errors.New("pushed")

type pushes struct{}

func (pushes) Push(string, *http.PushOptions) error { return errPushed }

// writers are of every set of optional methods, all sixteen.
func writers(b basic) []http.ResponseWriter {
	type (
		f  interface{ http.Flusher }
		h  interface{ http.Hijacker }
		r  interface{ io.ReaderFrom }
		p  = pushes
		fh struct {
			f
			h
		}
		fr struct {
			f
			r
		}
		hr struct {
			h
			r
		}
		fhr struct {
			f
			h
			r
		}
	)
	return []http.ResponseWriter{
		b,
		struct {
			basic
			f
		}{basic: b}, struct {
			basic
			h
		}{basic: b}, struct {
			basic
			r
		}{basic: b}, struct {
			basic
			fh
		}{basic: b}, struct {
			basic
			fr
		}{basic: b}, struct {
			basic
			hr
		}{basic: b}, struct {
			basic
			fhr
		}{basic: b},
		struct {
			basic
			p
		}{basic: b}, struct {
			basic
			f
			p
		}{basic: b}, struct {
			basic
			h
			p
		}{basic: b}, struct {
			basic
			r
			p
		}{basic: b}, struct {
			basic
			fh
			p
		}{basic: b}, struct {
			basic
			fr
			p
		}{basic: b}, struct {
			basic
			hr
			p
		}{basic: b}, struct {
			basic
			fhr
			p
		}{basic: b},
	}
}
