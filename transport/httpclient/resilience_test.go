package httpclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/internal/pipenet"
)

// quick is a policy with waits too short to notice.
func quick(o resilience.Options) *resilience.Policy {
	o.Logger = slog.New(slog.DiscardHandler)
	o.Retry.MinBackoff, o.Retry.MaxBackoff = time.Microsecond, time.Microsecond
	return resilience.New("p", &o)
}

func TestPolicyRetriesTheWholeBody(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	sum := sha256.Sum256(data)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		body     func() (io.Reader, func() (io.ReadCloser, error))
		attempts int64
		status   int
	}{
		{"Buffer", func() (io.Reader, func() (io.ReadCloser, error)) { return bytes.NewReader(data), nil }, 2, 200},
		{"File", func() (io.Reader, func() (io.ReadCloser, error)) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			return f, func() (io.ReadCloser, error) { return os.Open(file) }
		}, 2, 200},
		{"OneShot", func() (io.Reader, func() (io.ReadCloser, error)) {
			return io.MultiReader(bytes.NewReader(data)), nil
		}, 1, 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var attempts atomic.Int64
			f := setUp(t, func(w http.ResponseWriter, r *http.Request) {
				if attempts.Add(1) == 1 {
					_, _ = io.CopyN(io.Discard, r.Body, 1<<19)
					w.WriteHeader(503)
					return
				}
				h := sha256.New()
				n, _ := io.Copy(h, r.Body)
				if !bytes.Equal(h.Sum(nil), sum[:]) || r.ContentLength != int64(len(data)) || n != r.ContentLength {
					t.Errorf("the second attempt carried %d of %d bytes, or others", n, len(data))
				}
			}, httpclient.Options{Policy: quick(resilience.Options{})})
			body, again := tt.body()
			r := request(t, t.Context(), "PUT", "/", body)
			if again != nil {
				r.GetBody, r.ContentLength = again, int64(len(data))
			}
			resp, err := f.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.status || attempts.Load() != tt.attempts {
				t.Errorf("status %d after %d attempts, want %d after %d", resp.StatusCode, attempts.Load(), tt.status, tt.attempts)
			}
		})
	}
}

func TestPolicyRetriesByMethod(t *testing.T) {
	for _, tt := range []struct {
		method, key string
		want        int64
	}{
		{"GET", "", 3}, {"HEAD", "", 3}, {"PUT", "", 3}, {"DELETE", "", 3},
		{"POST", "", 1}, {"PATCH", "", 1}, {"POST", "k-1", 3}, {"PATCH", "k-1", 3},
	} {
		t.Run(tt.method+tt.key, func(t *testing.T) {
			var actions atomic.Int64
			f := setUp(t, func(_ http.ResponseWriter, r *http.Request) {
				actions.Add(1)
				if r.Header.Get("Idempotency-Key") != tt.key {
					t.Errorf("key %q, want %q", r.Header.Get("Idempotency-Key"), tt.key)
				}
				panic(http.ErrAbortHandler)
			}, httpclient.Options{Policy: quick(resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1}}),
				Base: &http.Transport{DisableKeepAlives: true}})
			r := request(t, t.Context(), tt.method, "/", nil)
			if tt.key != "" {
				r.Header.Set("Idempotency-Key", tt.key)
			}
			if resp, err := f.client.Do(r); err == nil {
				t.Errorf("status %d, want an error", resp.StatusCode)
			}
			if got := actions.Load(); got != tt.want {
				t.Errorf("%d actions, want %d", got, tt.want)
			}
		})
	}
}

func TestPolicyReadsStatuses(t *testing.T) {
	for status, want := range map[int]struct {
		attempts int64
		open     bool // after 20 calls, threshold 5
	}{
		200: {1, false}, 400: {1, false}, 404: {1, false}, 409: {1, false}, 501: {1, false},
		408: {3, true}, 425: {3, true}, 429: {3, true}, 500: {3, true}, 502: {3, true}, 503: {3, true},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var calls atomic.Int64
			f := setUp(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(status)
				fmt.Fprint(w, "the body")
			}, httpclient.Options{Policy: quick(resilience.Options{})})
			resp, err := f.client.Do(request(t, t.Context(), "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if body := read(t, resp); resp.StatusCode != status || body != "the body" || calls.Load() != want.attempts {
				t.Errorf("%d %q after %d attempts, want the response after %d", resp.StatusCode, body, calls.Load(), want.attempts)
			}
			for range 20 {
				resp, err = f.client.Do(request(t, t.Context(), "GET", "/", nil))
				if err == nil {
					resp.Body.Close()
				}
			}
			if got := errors.Is(err, resilience.ErrOpen); got != want.open {
				t.Errorf("after 20 calls: %v, want open %t", err, want.open)
			}
			if want.open && calls.Load() != 5 {
				t.Errorf("%d attempts reached the server, want the 5 that opened the breaker", calls.Load())
			}
		})
	}
}

func TestPolicyOpensForARefusedConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := httpclient.New("http://"+ln.Addr().String(), &httpclient.Options{
		Policy: quick(resilience.Options{}), Registerer: prometheus.NewRegistry(),
	})
	for range 3 {
		_, err = c.Do(request(t, t.Context(), "POST", "/", nil))
		if errors.Is(err, resilience.ErrOpen) {
			t.Fatalf("open too early: %v", err)
		}
	}
	for range 3 {
		_, err = c.Do(request(t, t.Context(), "POST", "/", nil))
	}
	if !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("after 6 refused connections: %v, want ErrOpen: a POST counts too", err)
	}
}

// TestPolicyLeaksNothing looks at the server's side: connections are used again.
func TestPolicyLeaksNothing(t *testing.T) {
	var conns, calls atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%2 == 1 {
			w.WriteHeader(503)
		}
		_, _ = w.Write(make([]byte, 4096))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := httpclient.New(srv.URL, &httpclient.Options{
		Policy: quick(resilience.Options{Retry: resilience.RetryOptions{MaxRatio: -1}}), Registerer: prometheus.NewRegistry(),
	})
	defer c.CloseIdleConnections()
	for range 1000 {
		resp, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(read(t, resp)); resp.StatusCode != 200 || n != 4096 {
			t.Fatalf("status %d, %d bytes", resp.StatusCode, n)
		}
	}
	if got := conns.Load(); got > 20 {
		t.Errorf("%d connections for 2000 attempts in a row, want a few", got)
	}
}

func TestPolicyAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := pipenet.New()
		var calls atomic.Int64
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			fmt.Fprint(w, "first half, ")
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Second) // far beyond the attempt's time
			fmt.Fprint(w, "second half")
		})}
		go srv.Serve(ln)
		tr := ln.Transport()
		reg := prometheus.NewRegistry()
		c := httpclient.New("http://x", &httpclient.Options{
			Base: tr, Registerer: reg, Policy: quick(resilience.Options{AttemptTimeout: time.Second}),
		})
		resp, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, resp); got != "first half, second half" {
			t.Errorf("body %q, want it whole: the attempt's time ends with the header", got)
		}
		f := fixture{reg: reg}
		if got, want := f.series(t), map[string]uint64{"GET  timeout": 1, "GET 200 ": 1}; !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
		tr.CloseIdleConnections()
		srv.Close()
	})
}

// deaf is a transport that says "canceled" whatever ended the request's context.
type deaf struct{}

func (deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestPolicyCountsItsOwnTimeoutsWhateverTheTransportSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		c := httpclient.New("http://x", &httpclient.Options{
			Base: deaf{}, Registerer: reg, Policy: quick(resilience.Options{AttemptTimeout: time.Second}),
		})
		_, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("Do: %v, want a deadline error", err)
		}
		f := fixture{reg: reg}
		if got, want := f.series(t), map[string]uint64{"GET  timeout": 3}; !reflect.DeepEqual(got, want) {
			t.Errorf("series %v, want %v", got, want)
		}
	})
}

func TestPolicyEndsItsWaitWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := httpclient.New("http://x", &httpclient.Options{
			Base: always(503), Registerer: prometheus.NewRegistry(),
			Policy: resilience.New("p", &resilience.Options{
				Retry: resilience.RetryOptions{MinBackoff: 10 * time.Second, MaxBackoff: 10 * time.Second},
			}),
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		_, err := c.Do(request(t, ctx, "GET", "/", nil))
		status, ok := errors.AsType[*httpclient.StatusError](err)
		if !errors.Is(err, context.Canceled) || !ok || status.StatusCode != 503 || time.Since(begin) != time.Second {
			t.Errorf("Do: %v after %v, want the cancellation and the 503 after 1s", err, time.Since(begin))
		}
	})
}

// always is a transport that has one answer.
type always int

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Body: http.NoBody, Request: r}, nil
}

func TestPolicyCallerLeaves(t *testing.T) {
	f := setUp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, httpclient.Options{
		Policy: quick(resilience.Options{Breaker: resilience.BreakerOptions{ConsecutiveFailures: 1}}),
	})
	for range 5 {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Millisecond, func() { cancel(errors.New("page closed")) })
		if _, err := f.client.Do(request(t, ctx, "GET", "/", nil)); errors.Is(err, resilience.ErrOpen) || err == nil {
			t.Fatalf("Do: %v, want a cancellation, and the breaker closed", err)
		}
	}
	if got, want := f.series(t), (map[string]uint64{"GET  canceled": 5}); !reflect.DeepEqual(got, want) {
		t.Errorf("series %v, want %v", got, want)
	}
}

var noRetry = resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: -1}}

// sequence answers with one status after another, the last one again and again, and what header says.
type sequence struct {
	statuses []int
	header   http.Header
	n        int
}

func (s *sequence) RoundTrip(r *http.Request) (*http.Response, error) {
	status := s.statuses[min(s.n, len(s.statuses)-1)]
	s.n++
	return &http.Response{StatusCode: status, Header: s.header, Body: http.NoBody, Request: r}, nil
}

func TestGuardWaitsForRetryAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		after    string // "date" is a date in 7s
		attempts int
		status   int
		took     time.Duration
	}{
		"seconds":            {"7", 2, 200, 7 * time.Second},
		"date":               {"date", 2, 200, 7 * time.Second},
		"above the ceiling":  {"31", 1, 503, 0},
		"absurd":             {"4294967295", 1, 503, 0},
		"not of either form": {"soon", 2, 200, 0},
		"in the past":        {"Mon, 01 Jan 1990 00:00:00 GMT", 2, 200, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				after := tt.after
				if after == "date" {
					after = time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat)
				}
				base := &sequence{statuses: []int{503, 200}, header: http.Header{"Retry-After": {after}}}
				client := &http.Client{Transport: httpclient.Guard(quick(resilience.Options{Timeout: -1}))(base)}
				begin := time.Now()
				resp, err := client.Get("http://users/")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				took := time.Since(begin).Truncate(time.Second) // the policy adds a microsecond
				if resp.StatusCode != tt.status || base.n != tt.attempts || took != tt.took {
					t.Errorf("status %d after %d attempts and %v, want %d after %d and %v",
						resp.StatusCode, base.n, took, tt.status, tt.attempts, tt.took)
				}
			})
		})
	}
}

func TestTotalTimeBoundsTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := httpclient.New("http://x", &httpclient.Options{
			Timeout: 2500 * time.Millisecond, Registerer: prometheus.NewRegistry(),
			Base: tripper(func(r *http.Request) (*http.Response, error) { attempts++; return deaf{}.RoundTrip(r) }),
			Policy: quick(resilience.Options{
				AttemptTimeout: time.Second, Retry: resilience.RetryOptions{MaxAttempts: 10},
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
			}),
		})
		begin := time.Now()
		_, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		took := time.Since(begin)
		if took != 2500*time.Millisecond || attempts != 3 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %d attempts and %v, want a deadline error after 3 and 2.5s", err, attempts, took)
		}
	})
}

func TestGuardHostsKeepsFailuresApart(t *testing.T) {
	down := tripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "down:80" {
			return answers(500).RoundTrip(r)
		}
		return answers(200).RoundTrip(r)
	})
	asked := map[string]int{}
	rt := httpclient.GuardHosts(func(host string) *resilience.Policy {
		asked[host]++
		if host == "free" {
			return nil
		}
		return quick(resilience.Options{})
	})(down)
	var err error
	for range 10 {
		var resp *http.Response
		if resp, err = rt.RoundTrip(request(t, t.Context(), "GET", "http://down:80/", nil)); err == nil {
			resp.Body.Close()
		}
		send(t, rt, request(t, t.Context(), "GET", "http://up/", nil))
		send(t, rt, request(t, t.Context(), "GET", "http://free/", nil))
	}
	if !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("the host that is down: %v, want ErrOpen", err)
	}
	if want := (map[string]int{"down:80": 1, "up": 1, "free": 1}); !reflect.DeepEqual(asked, want) {
		t.Errorf("asked for policies %v, want %v", asked, want)
	}
}

func TestGuardHostsForgetsTheLongestUnused(t *testing.T) {
	asked := map[string]int{}
	rt := httpclient.GuardHosts(func(host string) *resilience.Policy {
		asked[host]++
		return nil
	})(answers(200))
	call := func(i int) { send(t, rt, request(t, t.Context(), "GET", fmt.Sprintf("http://h%d/", i), nil)) }
	for i := range 1000 {
		call(i)
	}
	call(0)
	call(1000) // takes the place of 1
	call(0)
	call(2)
	call(1)
	for host, want := range map[string]int{"h0": 1, "h1": 2, "h2": 1, "h1000": 1} {
		if asked[host] != want {
			t.Errorf("%s: asked for %d policies, want %d", host, asked[host], want)
		}
	}
}

func TestGuardKeepsTheBodyReadable(t *testing.T) {
	const size = 512 << 10
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP2=%t", h2), func(t *testing.T) {
			var calls atomic.Int64
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls.Add(1) == 1 {
					w.WriteHeader(503)
				}
				_, _ = w.Write(make([]byte, size))
			}))
			srv.EnableHTTP2 = h2
			srv.StartTLS()
			defer srv.Close()
			guard := httpclient.Guard(quick(resilience.Options{AttemptTimeout: time.Minute}))
			client := &http.Client{Timeout: time.Minute, Transport: guard(srv.Client().Transport)}
			resp, err := client.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			// By now the context of the attempt has ended.
			if got := read(t, resp); len(got) != size || calls.Load() != 2 || (resp.ProtoMajor == 2) != h2 {
				t.Errorf("%s: %d bytes after %d attempts, want %d after 2", resp.Proto, len(got), calls.Load(), size)
			}
		})
	}
}

func TestGuardReturnsTheErrorOfGetBody(t *testing.T) {
	boom := errors.New("the file is gone")
	r := request(t, t.Context(), "PUT", "http://users/", bytes.NewReader([]byte("x")))
	r.GetBody = func() (io.ReadCloser, error) { return nil, boom }
	rt := httpclient.Guard(quick(resilience.Options{}))(answers(503))
	if _, err := rt.RoundTrip(r); !errors.Is(err, boom) {
		t.Errorf("got %v, want %v", err, boom)
	}
}
