package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// scripted answers each connection with the next body, as an event stream, and keeps what it was asked with.
type scripted struct {
	bodies []string
	asked  []http.Header
	at     []time.Time
}

func (s *scripted) Do(r *http.Request) (*http.Response, error) {
	s.asked, s.at = append(s.asked, r.Header.Clone()), append(s.at, time.Now())
	body := s.bodies[0]
	if len(s.bodies) > 1 {
		s.bodies = s.bodies[1:]
	}
	if body == "" {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	h := http.Header{"Content-Type": {"text/event-stream"}}
	return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

const theEnd = "event: end\ndata: {}\n\n"

// TestStreamResumes: what each connection is asked with, and how long after the one before.
func TestStreamResumes(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		bodies []string
		ids    []string
		waits  []time.Duration // at least
		most   time.Duration   // of each
	}{
		{"FromTheLastID", []string{"id: 7\ndata: {}\n\n", "data: {}\n\n", "id: 9\ndata: {}\n\n", theEnd},
			[]string{"3", "7", "7", "9"}, []time.Duration{time.Second, time.Second, time.Second}, time.Second},
		{"AfterTheServersTime", []string{"retry: 5000\n\ndata: {}\n\n", "data: {}\n\n", theEnd},
			[]string{"3", "3", "3"}, []time.Duration{5 * time.Second, 5 * time.Second}, 5 * time.Second},
		{"AfterATenthOfASecondAtLeast", []string{"retry: 0\n\ndata: {}\n\n", theEnd},
			[]string{"3", "3"}, []time.Duration{100 * ms}, 100 * ms},
		{"AfterAMinuteAtMost", []string{"retry: 9999999\n\ndata: {}\n\n", theEnd},
			[]string{"3", "3"}, []time.Duration{time.Minute}, time.Minute},
		{"AfterAProblemsTime", []string{"data: {}\n\nretry: 9000\n\nevent: problem\ndata: {\"code\":\"unavailable\"}\n\n", theEnd},
			[]string{"3", "3"}, []time.Duration{9 * time.Second}, time.Minute},
		{"WhereNobodyListensYet", []string{"", "", theEnd}, []string{"3", "3", "3"}, []time.Duration{0, 0}, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &scripted{bodies: tt.bodies}
				for _, err := range prices.Call(t.Context(), c, watch{SKU: "tea", After: 3}) {
					if err != nil {
						t.Fatal(err)
					}
				}
				for i, h := range c.asked {
					if got, want := h["Last-Event-Id"], []string{tt.ids[i]}; !reflect.DeepEqual(got, want) {
						t.Errorf("connection %d: Last-Event-ID %q, want %q", i, got, want)
					}
					if h.Get("Accept") != "text/event-stream, application/problem+json" || h.Get("Cache-Control") != "no-store" {
						t.Errorf("connection %d was asked with %v", i, h)
					}
					if i == 0 {
						continue
					}
					if got := c.at[i].Sub(c.at[i-1]); got < tt.waits[i-1] || got > tt.most {
						t.Errorf("connection %d after %v, want %v to %v", i, got, tt.waits[i-1], tt.most)
					}
				}
				if len(c.asked) != len(tt.ids) {
					t.Errorf("%d connections, want %d", len(c.asked), len(tt.ids))
				}
			})
		})
	}
	t.Run("AsOftenAsItIsAllowedTo", func(t *testing.T) {
		for _, tt := range []struct{ max, bodies, want int }{{0, 20, 11}, {2, 20, 3}, {-1, 40, 41}} {
			synctest.Test(t, func(t *testing.T) {
				c := &scripted{bodies: append(make([]string, tt.bodies), theEnd)}
				e := newPrices(httpapi.StreamOptions{MaxFailures: tt.max})
				_, err := collect(t.Context(), e, c)
				if len(c.asked) != tt.want || (err == nil) != (tt.max < 0) {
					t.Errorf("MaxFailures %d: %d connections, %v, want %d", tt.max, len(c.asked), err, tt.want)
				}
			})
		}
	})
	t.Run("AndCountsFailuresInARow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &scripted{bodies: []string{"", "", "data: {}\n\n", "", "", "data: {}\n\n", "", "", theEnd}}
			if got, err := collect(t.Context(), newPrices(httpapi.StreamOptions{MaxFailures: 2}), c); err != nil || len(got) != 2 {
				t.Errorf("got %v, %v, want two events", got, err)
			}
		})
	})
	t.Run("NotBehindItsContext", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			start := time.Now()
			c := &scripted{bodies: []string{"retry: 60000\n\ndata: {}\n\n"}}
			_, err := collect(ctx, prices, c)
			if e := asError(t, err); e.Code != transport.DeadlineExceeded || time.Since(start) != 30*time.Second {
				t.Errorf("got %v after %v, want deadline_exceeded after 30s", err, time.Since(start))
			}
		})
	})
}

// TestStreamHeader is what proxies and browsers have to know.
func TestStreamHeader(t *testing.T) {
	for retry, begin := range map[time.Duration]string{0: "retry: 1000\n\n", 2 * time.Second: "retry: 2000\n\n", -1: ":\n\n"} {
		h := streamOf(newPrices(httpapi.StreamOptions{Retry: retry}),
			func(_ context.Context, _ watch, send sendPrice) error { return send(price{Cents: 1}) })
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/prices/tea", nil))
		want := http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-cache"},
			"X-Accel-Buffering": {"no"}, "X-Content-Type-Options": {"nosniff"}}
		if !reflect.DeepEqual(rec.Header(), want) || !strings.HasPrefix(rec.Body.String(), begin) {
			t.Errorf("retry %v: %v, %q, want %v and %q", retry, rec.Header(), rec.Body, want, begin)
		}
	}
}

// TestStreamHeartbeat: a comment after each silence, counted from what was sent last, or none.
func TestStreamHeartbeat(t *testing.T) {
	for _, tt := range []struct {
		beat time.Duration
		want int
	}{{0, 1}, {4 * time.Second, 3}, {-1, 0}} {
		h := streamOf(newPrices(httpapi.StreamOptions{Heartbeat: tt.beat}),
			func(_ context.Context, _ watch, send sendPrice) error {
				time.Sleep(2 * time.Second)
				err := send(price{Cents: 1})
				time.Sleep(15200 * time.Millisecond) // a beat that is not counted from the event would fit in once more
				return err
			})
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "/prices/tea", nil)
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			_, after, _ := strings.Cut(string(body), "data: ")
			if n := strings.Count(after, "\n:\n"); err != nil || n != tt.want {
				t.Errorf("heartbeat %v: %d comments behind the event in %q, %v, want %d", tt.beat, n, body, err, tt.want)
			}
		})
	}
}

// TestStreamEndsOfTheHandler: what its error is to the caller, and to the server's log.
func TestStreamEndsOfTheHandler(t *testing.T) {
	wait := transport.NewError(transport.Unavailable, "not now", nil)
	wait.Delay = 7 * time.Second
	for _, tt := range []struct {
		err  error
		want string // behind the event
	}{
		{nil, theEnd},
		{wait, "retry: 7000\n\nevent: problem\ndata: "},
		{context.Canceled, "event: problem\ndata: "}, // of a dependency: the caller is there
		{context.DeadlineExceeded, "event: problem\ndata: "},
	} {
		h := streamOf(prices, func(_ context.Context, _ watch, send sendPrice) error {
			_ = send(price{Cents: 1})
			return tt.err
		})
		ctx := &reqstate.Context{Context: t.Context()}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/prices/tea", nil))
		_, after, _ := strings.Cut(rec.Body.String(), "data: {\"cents\":1}\n\n")
		if _, logged := ctx.Outcome(); !strings.HasPrefix(after, tt.want) || !errors.Is(logged, tt.err) {
			t.Errorf("%v: sent %q, logged %v, want %q", tt.err, after, logged, tt.want)
		}
	}
}

// TestStreamEventIDs that no header can bring back are not sent.
func TestStreamEventIDs(t *testing.T) {
	type (
		from struct {
			After string `header:"Last-Event-ID"`
		}
		event struct {
			ID string `sse:"id"`
		}
	)
	s := httpapi.NewStream[from, event]("GET /x", &httpapi.StreamOptions{Access: transport.Public})
	for _, id := range []string{"a\nb", "a\rb", "\x00", "\x1f", "\x7f"} {
		s.Handler(func(_ context.Context, _ from, send func(event) error) error {
			if err := send(event{id}); err == nil {
				t.Errorf("the ID %q was sent", id)
			}
			return nil
		}, nil).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
	}
}
