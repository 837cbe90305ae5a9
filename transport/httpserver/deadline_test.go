package httpserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func TestServerBoundsHandlers(t *testing.T) {
	get := func(t *testing.T, p *piped, path, timeout string) (*http.Response, string) {
		t.Helper()
		r := request(t, "GET", "http://x"+path, nil)
		if timeout != "" {
			r.Header.Set(transport.HeaderRequestTimeout, timeout)
		}
		return send(t, p.client, r)
	}

	t.Run("ByTheShorterOfItsOwnAndTheCallersTime", func(t *testing.T) {
		for header, want := range map[string]time.Duration{
			"": 50 * time.Second, "1500": 1500 * time.Millisecond, "120000": 50 * time.Second, "0": 0,
			"-1": 50 * time.Second, "1s": 50 * time.Second, "12345678901": 50 * time.Second, "+5": 50 * time.Second,
		} {
			synctest.Test(t, func(t *testing.T) {
				p := startPiped(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					if err := context.Cause(r.Context()); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the context ended by %v, want a deadline", err)
					}
				}), httpserver.Options{})
				begin := time.Now()
				resp, body := get(t, p, "/", header)
				if took := time.Since(begin); took != want {
					t.Errorf("%q: the handler had %v, want %v", header, took, want)
				}
				if resp.StatusCode != 504 || !strings.Contains(body, `"code":"deadline_exceeded"`) {
					t.Errorf("%q: status %d, %s, want a 504 problem", header, resp.StatusCode, body)
				}
				_, _ = p.wait()
				if got := p.obs.series(t)["GET  504"]; got != 1 {
					t.Errorf("%q: %d requests counted as 504, want 1", header, got)
				}
			})
		}
	})
	t.Run("NotWhenNegative", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-r.Context().Done():
				case <-time.After(time.Hour):
					fmt.Fprint(w, "done")
				}
			}), httpserver.Options{Timeout: -1, WriteTimeout: -1})
			if _, body := get(t, p, "/", ""); body != "done" {
				t.Errorf("got %q, want done", body)
			}
			_, _ = p.wait()
		})
	})
	t.Run("AndLeavesAnAnswerAlone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				w.WriteHeader(http.StatusAccepted)
			}), httpserver.Options{})
			if resp, body := get(t, p, "/", ""); resp.StatusCode != http.StatusAccepted || body != "" {
				t.Errorf("status %d, %q, want the handler's 202 and nothing more", resp.StatusCode, body)
			}
			_, _ = p.wait()
		})
	})
	t.Run("AndAnErrorOfIts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				httpapi.WriteError(w, r, fmt.Errorf("query: %w", r.Context().Err()))
			}), httpserver.Options{})
			for _, timeout := range []string{"", "100"} {
				if resp, _ := get(t, p, "/", timeout); resp.StatusCode != http.StatusGatewayTimeout {
					t.Errorf("%q: status %d, want 504", timeout, resp.StatusCode)
				}
			}
			_, _ = p.wait()
		})
	})
	t.Run("UntilTheConnectionIsTheirs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := startPiped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				time.Sleep(time.Hour)
				if r.Context().Err() != nil {
					t.Errorf("the context ended: %v", context.Cause(r.Context()))
				}
				fmt.Fprint(conn, "bye")
			}), httpserver.Options{})
			conn := p.dial(t)
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if got, err := io.ReadAll(conn); string(got) != "bye" || err != nil {
				t.Errorf("got %q, %v, want bye", got, err)
			}
			_, _ = p.wait()
		})
	})
	t.Run("AndEndsTheirContextAfterThem", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var ctx context.Context
			p := startPiped(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() }),
				httpserver.Options{})
			get(t, p, "/", "")
			synctest.Wait()
			if ctx.Err() == nil {
				t.Error("the context of a request that has ended lives on")
			}
			_, _ = p.wait()
		})
	})
}

func TestDeadline(t *testing.T) {
	serve := func(limit time.Duration, header ...string) (left time.Duration, ok bool, status int) {
		h := httpserver.Deadline(limit)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var at time.Time
			at, ok = r.Context().Deadline()
			left = time.Until(at)
			<-r.Context().Done()
		}))
		r := httptest.NewRequest("GET", "/", nil)
		r.Header[transport.HeaderRequestTimeout] = header
		if len(header) == 0 && limit <= 0 {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			r = r.WithContext(ctx)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return left, ok, w.Code
	}
	for _, c := range []struct {
		limit  time.Duration
		header []string
		want   time.Duration
	}{
		{time.Second, nil, time.Second},
		{time.Second, []string{"500"}, 500 * time.Millisecond},
		{time.Second, []string{"5000"}, time.Second},
		{time.Second, []string{"500", "600"}, time.Second},
		{time.Second, []string{" 5"}, time.Second},
		{-1, []string{"9999999999"}, 9999999999 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			if left, ok, status := serve(c.limit, c.header...); left != c.want || !ok || status != 504 {
				t.Errorf("limit %v, header %q: %v, %t, status %d, want %v and 504", c.limit, c.header, left, ok, status, c.want)
			}
		})
	}
	if _, ok, status := serve(-1); ok || status != 200 {
		t.Errorf("no limit and no header: a deadline %t, status %d, want none and 200", ok, status)
	}
}

// FuzzDeadline holds that no header makes more time than the limit, or a negative one.
func FuzzDeadline(f *testing.F) {
	for _, seed := range []string{"", "0", "1", "9999999999", "99999999999", "-1", "+1", " 1", "1e3", "0x10", "1_000", "१"} {
		f.Add(seed)
	}
	const limit = time.Hour
	var left time.Duration
	h := httpserver.Deadline(limit)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := r.Context().Deadline()
		left = time.Until(at)
		w.WriteHeader(http.StatusNoContent)
	}))
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header[transport.HeaderRequestTimeout] = []string{header}
		w := httptest.NewRecorder()
		before := time.Now()
		h.ServeHTTP(w, r)
		if left > limit || left < -time.Since(before) || w.Code != http.StatusNoContent {
			t.Errorf("%q: %v left, status %d, want at most %v", header, left, w.Code, limit)
		}
	})
}
