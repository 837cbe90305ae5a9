package httpserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport/httpserver"
	"github.com/mainstay-go/mainstay/transport/internal/pipenet"
)

// piped is a server in a synctest bubble, where its time-outs pass in no time.
type piped struct {
	*httpserver.Server
	obs    *observed
	ln     *pipenet.Listener
	client *http.Client
	stop   context.CancelFunc
	ended  chan error
}

func startPiped(t *testing.T, h http.Handler, o httpserver.Options) *piped {
	p := &piped{obs: newObserved(), ln: pipenet.New(), ended: make(chan error, 1)}
	p.Server = httpserver.New(h, p.obs.server(o))
	tr := p.ln.Transport()
	p.client = &http.Client{Transport: tr}
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = cancel
	go func() { p.ended <- p.Serve(ctx, p.ln) }()
	t.Cleanup(tr.CloseIdleConnections)
	<-p.Ready()
	return p
}

// wait ends the server and returns its error and how long that took.
func (p *piped) wait() (error, time.Duration) {
	begin := time.Now()
	p.stop()
	err := <-p.ended
	return err, time.Since(begin)
}

func TestServerDrain(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			time.Sleep(time.Second)
		}
		fmt.Fprint(w, "whole")
	})
	get := func(p *piped, path string) (string, error) {
		resp, err := p.client.Get("http://x" + path)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}

	t.Run("ServesWhatHasBegunAndRefusesTheRest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, slow, httpserver.Options{DrainTimeout: 5 * time.Second})
			var wg sync.WaitGroup
			wg.Go(func() {
				if body, err := get(p, "/slow"); body != "whole" || err != nil {
					t.Errorf("the running request got %q, %v, want it whole", body, err)
				}
			})
			synctest.Wait()
			p.Drain()
			if body, err := get(p, "/"); body != "whole" || err != nil {
				t.Errorf("between Drain and the end: %q, %v, want an answer", body, err)
			}
			p.stop()
			synctest.Wait()
			if _, err := get(p, "/"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after the end: %v, want a refused connection", err)
			}
			if err, took := p.wait(); err != nil || took > 2*time.Second {
				t.Errorf("Run: %v after %v, want nil within 2s", err, took)
			}
			wg.Wait()
		})
	})
	t.Run("SendsClientsAwayBeforeItStops", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, slow, httpserver.Options{})
			for _, draining := range []bool{false, true} {
				if draining {
					p.Drain()
				}
				resp, err := p.client.Get("http://x/")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.Close != draining {
					t.Errorf("draining %t: Connection: close is %t", draining, resp.Close)
				}
			}
			_, _ = p.wait()
		})
	})
	t.Run("TellsStreams", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var told atomic.Pointer[time.Time]
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				<-httpserver.Draining(r.Context())
				told.Store(new(time.Now()))
			}), httpserver.Options{DrainTimeout: 10 * time.Second})
			resp, err := p.client.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			go io.Copy(io.Discard, resp.Body) // a pipe has no buffer
			synctest.Wait()
			if told.Load() != nil {
				t.Error("told before the end")
			}
			begin := time.Now()
			if err, took := p.wait(); err != nil || took >= time.Second {
				t.Errorf("Run: %v after %v, want nil under 1s", err, took)
			}
			if at := told.Load(); at == nil || at.Sub(begin) > 100*time.Millisecond {
				t.Errorf("the handler was told at %v, want within 100ms of %v", at, begin)
			}
		})
	})
	t.Run("CutsOffWhatDoesNotEnd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var cause atomic.Value
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				cause.Store(context.Cause(r.Context()))
			}), httpserver.Options{DrainTimeout: 10 * time.Second})
			resp, err := p.client.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			err, took := p.wait()
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 streams cut off after 10s") {
				t.Errorf("Run: %v, want a deadline error that counts 1 stream", err)
			}
			if took < 10*time.Second || took > 10500*time.Millisecond {
				t.Errorf("Run took %v, want 10s and at most half a second", took)
			}
			if cause.Load() == nil || errors.Is(cause.Load().(error), context.Canceled) {
				t.Errorf("the handler's context ended by %v, want a cause of its own", cause.Load())
			}
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Error("the client took a broken stream for a whole one")
			}
		})
	})
	t.Run("LeavesAHandlerThatIgnoresEverything", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			p := startPiped(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }),
				httpserver.Options{DrainTimeout: time.Second})
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := get(p, "/"); err == nil {
					t.Error("the cut request got an answer")
				}
			})
			synctest.Wait()
			if err, took := p.wait(); !errors.Is(err, context.DeadlineExceeded) || took > 1500*time.Millisecond {
				t.Errorf("Run: %v after %v, want a deadline error after 1s", err, took)
			}
			close(release)
			wg.Wait()
		})
	})
	t.Run("CutsOffAtOnceWhenNegative", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
				httpserver.Options{DrainTimeout: -1})
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = get(p, "/") })
			synctest.Wait()
			if err, took := p.wait(); !errors.Is(err, context.DeadlineExceeded) || took > 300*time.Millisecond {
				t.Errorf("Run: %v after %v, want a deadline error at once", err, took)
			}
			wg.Wait()
		})
	})
	t.Run("WaitsForHijackedConnections", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				<-httpserver.Draining(r.Context())
				time.Sleep(time.Second)
				fmt.Fprint(conn, "bye")
			}), httpserver.Options{})
			conn, err := p.ln.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			synctest.Wait()
			said := make(chan string)
			go func() {
				all, _ := io.ReadAll(conn)
				said <- string(all)
			}()
			if err, took := p.wait(); err != nil || took < time.Second {
				t.Errorf("Run: %v after %v, want nil once the handler has returned", err, took)
			}
			if got := <-said; got != "bye" {
				t.Errorf("the hijacked connection got %q, want bye", got)
			}
		})
	})
}

func TestServerTimeouts(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

	t.Run("EndASlowHeader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, ok, httpserver.Options{})
			conn, err := p.ln.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			begin := time.Now()
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				_, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\n")
				for err == nil {
					time.Sleep(time.Second)
					_, err = fmt.Fprint(conn, "X")
				}
			})
			if resp, err := p.client.Get("http://x/"); err != nil || resp.StatusCode != 200 {
				t.Errorf("a request beside it: %v, %v", resp, err)
			}
			_, _ = io.ReadAll(conn)
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("the connection stood for %v, want at most 30s", took)
			}
			_, _ = p.wait()
		})
	})
	t.Run("EndAnIdleConnection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, ok, httpserver.Options{})
			conn, err := p.ln.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			begin := time.Now()
			_, _ = io.ReadAll(conn)
			if took := time.Since(begin); took != 120*time.Second {
				t.Errorf("idle for %v, want 120s", took)
			}
			_, _ = p.wait()
		})
	})
	t.Run("AreMovedByHandlersThroughTheWrappers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const chunk = "0123456789"
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/sleeps" {
					time.Sleep(2 * time.Second)
					fmt.Fprint(w, "late")
					return
				}
				rc := http.NewResponseController(w)
				if err := errors.Join(rc.SetReadDeadline(time.Now().Add(time.Minute)),
					rc.SetWriteDeadline(time.Now().Add(time.Minute)), rc.EnableFullDuplex()); err != nil {
					t.Errorf("the connection is out of reach: %v", err)
				}
				for range 5 {
					fmt.Fprint(w, chunk)
					if err := rc.Flush(); err != nil {
						t.Errorf("Flush: %v", err)
					}
					time.Sleep(400 * time.Millisecond)
				}
			}), httpserver.Options{WriteTimeout: 500 * time.Millisecond})

			resp, err := p.client.Get("http://x/streams")
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); string(body) != strings.Repeat(chunk, 5) || err != nil {
				t.Errorf("the stream: %q, %v, want 5 chunks", body, err)
			}
			if resp, err := p.client.Get("http://x/sleeps"); err == nil {
				t.Errorf("past the time-out: status %d, want a broken connection", resp.StatusCode)
			}
			_, _ = p.wait()
		})
	})
}

func TestServerHeaderIsBounded(t *testing.T) {
	obs := newObserved()
	url, _ := start(t, httpserver.New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
	for size, want := range map[int]int{100 << 10: 200, 256 << 10: 431} {
		r := request(t, "GET", url, nil)
		r.Header.Set("X-Large", strings.Repeat("x", size))
		resp, _ := send(t, newClient(t), r)
		if resp.StatusCode != want || resp.Close != (want == 431) {
			t.Errorf("%d bytes of header: status %d, close %t, want %d", size, resp.StatusCode, resp.Close, want)
		}
	}
}

func TestServerRun(t *testing.T) {
	none := http.NotFoundHandler()
	t.Run("RefusesToStartWithoutAVerifier", func(t *testing.T) {
		s := httpserver.New(none, &httpserver.Options{Addr: "127.0.0.1:0", Registerer: newObserved().reg})
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
			t.Errorf("Run: %v, want an error that names the option", err)
		}
	})
	t.Run("RefusesToServeNothing", func(t *testing.T) {
		if err := httpserver.New(nil, newObserved().server(httpserver.Options{})).Run(t.Context()); err == nil {
			t.Error("Run: nil, want an error")
		}
	})
	t.Run("RefusesAVerifierThatNobodyAsks", func(t *testing.T) {
		s := httpserver.New(none, &httpserver.Options{Unauthenticated: true, Verifier: verifier, Registerer: newObserved().reg})
		if err := s.Run(t.Context()); err == nil {
			t.Error("Run: nil, want an error")
		}
	})
	t.Run("RefusesToMixItsMetricWithAnother", func(t *testing.T) {
		obs := newObserved()
		obs.reg.MustRegister(namesake{})
		s := httpserver.New(none, obs.server(httpserver.Options{Addr: "127.0.0.1:0"}))
		if err := s.Run(t.Context()); err == nil {
			t.Error("Run: nil, want an error")
		}
	})
	t.Run("NamesTheAddressThatIsTaken", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		s := httpserver.New(none, newObserved().server(httpserver.Options{Addr: ln.Addr().String()}))
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
			t.Errorf("Run: %v, want an error that names %v", err, ln.Addr())
		}
	})
	t.Run("EndsAtOnceWhenStoppedBefore", func(t *testing.T) {
		s := httpserver.New(none, newObserved().server(httpserver.Options{Addr: "127.0.0.1:0"}))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
		if s.Addr() != "" {
			t.Errorf("it listened on %s", s.Addr())
		}
	})
	t.Run("TakesAnyNumberOfStops", func(t *testing.T) {
		s := httpserver.New(none, newObserved().server(httpserver.Options{Addr: "127.0.0.1:0"}))
		_, stop := start(t, s)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(s.Drain)
			wg.Go(func() {
				if err := stop(); err != nil {
					t.Errorf("Run: %v, want nil", err)
				}
			})
		}
		wg.Wait()
		if err := s.Run(t.Context()); err == nil {
			t.Error("a second Run: nil, want an error")
		}
	})
	t.Run("GivesRequestsTheValuesOfItsContext", func(t *testing.T) {
		type key struct{}
		got := make(chan any, 1)
		s := httpserver.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got <- r.Context().Value(key{})
		}), newObserved().server(httpserver.Options{}))
		ln := pipenet.New()
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, ln) }()
		tr := ln.Transport()
		resp, err := (&http.Client{Transport: tr}).Get("http://x/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if v := <-got; v != "v" {
			t.Errorf("value %v, want v", v)
		}
		cancel()
		<-ended
	})
}
