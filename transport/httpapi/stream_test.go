package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/internal/outcall"
	"github.com/mainstay-go/mainstay/transport/internal/pipenet"
)

type (
	watch struct {
		SKU   string `path:"sku"`
		After int64  `header:"Last-Event-ID"`
	}
	price struct {
		Seq   int64  `sse:"id"`
		Kind  string `sse:"event"`
		Cents int    `json:"cents" minimum:"1"`
	}
	sendPrice = func(price) error
)

var prices = newPrices(httpapi.StreamOptions{})

func newPrices(o httpapi.StreamOptions) *httpapi.Stream[watch, price] {
	o.Access = transport.Public
	o.Errors = []httpapi.ErrorType{httpapi.ErrorOf[*soldOut]("/sold-out", transport.FailedPrecondition)}
	return httpapi.NewStream[watch, price]("GET /prices/{sku}", &o)
}

// inBubble runs f where time passes by itself, with a client of h. Nothing may be left when f has returned.
func inBubble(t *testing.T, h http.Handler, f func(t *testing.T, c *httpclient.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ln := pipenet.New()
		srv := &http.Server{Handler: h}
		served := make(chan struct{})
		go func() { defer close(served); _ = srv.Serve(ln) }()
		tr := ln.Transport()
		f(t, httpclient.New("http://prices", &httpclient.Options{Base: tr, Registerer: prometheus.NewRegistry()}))
		tr.CloseIdleConnections()
		_ = srv.Close()
		<-served
		synctest.Wait()
	})
}

func streamOf(s *httpapi.Stream[watch, price], f func(context.Context, watch, sendPrice) error) http.Handler {
	mux := http.NewServeMux()
	httpapi.HandleStream(mux, s, f)
	return mux
}

// collect listens until the stream ends.
func collect(ctx context.Context, s *httpapi.Stream[watch, price], c httpapi.Caller) (got []price, err error) {
	for p, err := range s.Call(ctx, c, watch{SKU: "tea"}) {
		if err != nil {
			return got, err
		}
		got = append(got, p)
	}
	return got, nil
}

func TestStream(t *testing.T) {
	t.Run("BringsEachEventAndItsEnd", func(t *testing.T) {
		want := []price{{Seq: 1, Cents: 5}, {Seq: 2, Kind: "rise", Cents: 7}, {Cents: 8}}
		h := streamOf(prices, func(_ context.Context, r watch, send sendPrice) error {
			if r != (watch{SKU: "tea"}) {
				t.Errorf("the handler got %+v", r)
			}
			for _, p := range want {
				if err := send(p); err != nil {
					return err
				}
			}
			return nil
		})
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			if got, err := collect(t.Context(), prices, c); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	})
	t.Run("IsWhatEventSourceReads", func(t *testing.T) {
		h := streamOf(prices, func(_ context.Context, _ watch, send sendPrice) error {
			return errors.Join(send(price{Seq: 1, Kind: "rise", Cents: 5}), send(price{Cents: 6}), &soldOut{"tea", 1})
		})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/prices/tea", nil))
		want := "retry: 1000\n\nid: 1\nevent: rise\ndata: {\"cents\":5}\n\ndata: {\"cents\":6}\n\nevent: problem\ndata: " +
			`{"type":"/sold-out","title":"Bad Request","status":400,"detail":"only a few tea are left",` +
			`"code":"failed_precondition","sku":"tea","left":1}` + "\n\n"
		if got := rec.Body.String(); got != want || rec.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("got %q of %v\nwant %q", got, rec.Header(), want)
		}
	})
	t.Run("GoesOnAfterTheLastEvent", func(t *testing.T) {
		h := streamOf(prices, func(_ context.Context, r watch, send sendPrice) error {
			if err := errors.Join(send(price{Seq: r.After + 1, Cents: 1}), send(price{Cents: 2})); err != nil {
				return err
			}
			if r.After < 2 {
				panic(http.ErrAbortHandler) // the connection is lost
			}
			return nil
		})
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			start := time.Now()
			got, err := collect(t.Context(), prices, c)
			want := []price{{Seq: 1, Cents: 1}, {Cents: 2}, {Seq: 2, Cents: 1}, {Cents: 2}, {Seq: 3, Cents: 1}, {Cents: 2}}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("took %v, want the retry time twice", took)
			}
		})
	})
	t.Run("IsKeptAliveByAHeartbeat", func(t *testing.T) {
		connections := 0
		h := streamOf(prices, func(_ context.Context, _ watch, send sendPrice) error {
			connections++
			time.Sleep(time.Hour) // far beyond the client's time-out and its patience
			return send(price{Cents: 1})
		})
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			got, err := collect(t.Context(), prices, c)
			if err != nil || len(got) != 1 || connections != 1 {
				t.Errorf("got %+v, %v over %d connections, want one event over one", got, err, connections)
			}
		})
	})
	t.Run("IsThereAfterAQuarterOfASecond", func(t *testing.T) {
		h := streamOf(prices, func(ctx context.Context, _ watch, _ sendPrice) error { <-ctx.Done(); return ctx.Err() })
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, _ := http.NewRequestWithContext(ctx, "GET", "/prices/tea", nil)
			start := time.Now()
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if took := time.Since(start); resp.StatusCode != 200 || took != 250*time.Millisecond {
				t.Errorf("status %d after %v, want 200 after 250ms", resp.StatusCode, took)
			}
			line, _ := bufio.NewReader(resp.Body).ReadString('\n')
			if line != "retry: 1000\n" {
				t.Errorf("it begins with %q, want the retry time", line)
			}
		})
	})
	t.Run("WithNothingToSendIs204", func(t *testing.T) {
		connections := 0
		h := streamOf(prices, func(context.Context, watch, sendPrice) error { connections++; return nil })
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			got, err := collect(t.Context(), prices, c)
			if err != nil || got != nil || connections != 1 {
				t.Errorf("got %v, %v over %d connections, want nothing over one", got, err, connections)
			}
		})
	})
	t.Run("EndsWithTheLoop", func(t *testing.T) {
		var ended error
		h := streamOf(prices, func(ctx context.Context, _ watch, send sendPrice) error {
			for send(price{Cents: 1}) == nil {
				time.Sleep(time.Second)
			}
			ended = ctx.Err()
			return ended
		})
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			n := 0
			for range prices.Call(t.Context(), c, watch{SKU: "tea"}) {
				if n++; n == 3 {
					break
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if !errors.Is(ended, context.Canceled) {
				t.Errorf("the handler's context: %v, want cancelled", ended)
			}
		})
	})
	t.Run("EndsWithTheContext", func(t *testing.T) {
		h := streamOf(prices, func(ctx context.Context, _ watch, send sendPrice) error {
			_ = send(price{Cents: 1})
			<-ctx.Done()
			return ctx.Err()
		})
		for want, cancel := range map[transport.Code]func(context.Context) (context.Context, context.CancelFunc){
			transport.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Minute, cancel)
				return ctx, cancel
			},
			transport.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Minute)
			},
		} {
			inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
				ctx, cancel := cancel(t.Context())
				defer cancel()
				got, err := collect(ctx, prices, c)
				if e := asError(t, err); e.Code != want || len(got) != 1 {
					t.Errorf("got %v, %v, want one event and %v", got, err, want)
				}
			})
		}
	})
}

func TestStreamFails(t *testing.T) {
	// answer ends the first connections with these, the one after them with the end of the stream.
	answer := func(connections *int, errs ...error) http.Handler {
		return streamOf(prices, func(_ context.Context, _ watch, send sendPrice) error {
			*connections++
			if *connections > len(errs) {
				return send(price{Cents: 9})
			}
			return errs[*connections-1]
		})
	}
	wait := transport.NewError(transport.Unavailable, "not now", nil)
	wait.Delay = 7 * time.Second
	for _, tt := range []struct {
		name        string
		errs        []error
		want        string // of the error; "" for the stream's end
		connections int
		took        time.Duration // at least
	}{
		{"ForGoodWhereItIsRefused", []error{transport.Errorf(transport.NotFound, "no tea")},
			`httpapi: stream "GET /prices/{sku}": not_found: no tea`, 1, 0},
		{"ForAWhileWhereItIsUnavailable", []error{wait, wait}, "", 3, 14 * time.Second},
		{"ForGoodAfterTenVainTries", slicesRepeat(error(wait), 20), `unavailable: not now`, 11, 70 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			connections := 0
			inBubble(t, answer(&connections, tt.errs...), func(t *testing.T, c *httpclient.Client) {
				start := time.Now()
				got, err := collect(t.Context(), prices, c)
				if connections != tt.connections || time.Since(start) < tt.took {
					t.Errorf("%d connections in %v, want %d in %v", connections, time.Since(start), tt.connections, tt.took)
				}
				switch {
				case tt.want == "" && (err != nil || len(got) != 1):
					t.Errorf("got %v, %v, want one event", got, err)
				case tt.want != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.want)):
					t.Errorf("got %v, want %q", err, tt.want)
				}
			})
		})
	}
	t.Run("WithADeclaredErrorBeforeItsFirstEvent", func(t *testing.T) {
		connections := 0
		inBubble(t, answer(&connections, &soldOut{"tea", 2}), func(t *testing.T, c *httpclient.Client) {
			_, err := collect(t.Context(), prices, c)
			if e, ok := errors.AsType[*soldOut](err); !ok || e.Left != 2 || connections != 1 {
				t.Errorf("got %v over %d connections, want 2 left over one", err, connections)
			}
		})
	})
	t.Run("InItsMidst", func(t *testing.T) {
		for name, tt := range map[string]struct {
			err         error
			connections int
		}{
			"ForGood":    {&soldOut{"tea", 2}, 1},
			"ForAWhile":  {wait, 2},
			"AsAnyOther": {errors.New("secret"), 2},
		} {
			t.Run(name, func(t *testing.T) {
				connections := 0
				h := streamOf(prices, func(_ context.Context, _ watch, send sendPrice) error {
					if connections++; connections == 2 {
						return nil
					}
					_ = send(price{Cents: 1})
					return tt.err
				})
				inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
					got, err := collect(t.Context(), prices, c)
					if connections != tt.connections || len(got) != 1 {
						t.Errorf("%d events, %v over %d connections, want one over %d", len(got), err, connections,
							tt.connections)
					}
					if e, ok := errors.AsType[*soldOut](err); ok != (tt.connections == 1) || ok && e.Left != 2 {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	})
	raw := func(contentType, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, body)
		})
	}
	for name, h := range map[string]http.Handler{
		"OnAPage":                    raw("text/html", "<html>"),
		"OnAnEventThatDoesNotFit":    raw("text/event-stream", "data: {\"cents\":\"x\"}\n\n"),
		"OnAnIDThatDoesNotFit":       raw("text/event-stream", "id: x\ndata: {}\n\n"),
		"OnAnIDThatCannotComeBack":   raw("text/event-stream", "id: \x01\ndata: {}\n\n"),
		"OnAnEventThatIsTooLarge":    raw("text/event-stream", strings.Repeat("data: aaaaaaaaaa\n", 200_000)),
		"OnALineThatIsTooLong":       raw("text/event-stream", ":"+strings.Repeat("a", 2<<20)),
		"OnAProblemThatItCannotRead": raw("text/event-stream", "event: problem\ndata: {\"code\":1}\n\n"),
	} {
		t.Run(name, func(t *testing.T) {
			e := newPrices(httpapi.StreamOptions{MaxFailures: 1})
			inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
				got, err := collect(t.Context(), e, c)
				want := transport.Internal
				if strings.HasPrefix(name, "OnAProblem") {
					want = transport.Unknown
				}
				if got != nil || asError(t, err).Code != want {
					t.Errorf("got %v, %v, want %v", got, err, want)
				}
			})
		})
	}
	t.Run("WhereNothingIsHeard", func(t *testing.T) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		e := newPrices(httpapi.StreamOptions{Heartbeat: time.Second, MaxFailures: 2})
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			start := time.Now()
			_, err := collect(t.Context(), e, c)
			took := time.Since(start)
			if asError(t, err).Code != transport.Unavailable || took < 11*time.Second || took > time.Minute {
				t.Errorf("got %v after %v, want unavailable after three silences and two waits", err, took)
			}
		})
	})
}

func slicesRepeat[T any](v T, n int) (all []T) {
	for range n {
		all = append(all, v)
	}
	return all
}

func TestStreamSend(t *testing.T) {
	// sent returns what sending an event comes to.
	sent := func(t *testing.T, o httpapi.StreamOptions, p price) (err error) {
		t.Helper()
		h := streamOf(newPrices(o), func(_ context.Context, _ watch, send sendPrice) error { err = send(p); return nil })
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/prices/tea", nil))
		return err
	}
	t.Run("RefusesANameThatIsTaken", func(t *testing.T) {
		for _, kind := range []string{"end", "problem", "error", "a\nb", "a\rb"} {
			if err := sent(t, httpapi.StreamOptions{}, price{Kind: kind}); err == nil {
				t.Errorf("the name %q was sent", kind)
			}
		}
	})
	t.Run("RefusesAnEventThatIsTooLarge", func(t *testing.T) {
		if err := sent(t, httpapi.StreamOptions{MaxEvent: 20}, price{Cents: 1234567890}); err == nil {
			t.Error("it was sent")
		}
		for limit, fits := range map[int]bool{18: false, 19: true} { // what there is on the wire
			if err := sent(t, httpapi.StreamOptions{MaxEvent: limit}, price{Cents: 1}); (err == nil) != fits {
				t.Errorf("19 bytes under a limit of %d: got %v", limit, err)
			}
		}
	})
	t.Run("RefusesWhatComesAfterTheHandler", func(t *testing.T) {
		var late sendPrice
		h := streamOf(prices, func(_ context.Context, _ watch, send sendPrice) error {
			late = send
			return send(price{Cents: 1})
		})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/prices/tea", nil))
		before := rec.Body.String()
		if err := late(price{Cents: 2}); err == nil || rec.Body.String() != before {
			t.Errorf("got %v and %q", err, rec.Body)
		}
	})
	t.Run("GivesUpOnAReaderThatStalls", func(t *testing.T) {
		for timeout, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 10 * time.Second: 10 * time.Second} {
			var took time.Duration
			h := streamOf(newPrices(httpapi.StreamOptions{WriteTimeout: timeout}),
				func(_ context.Context, _ watch, send sendPrice) (err error) {
					var begin time.Time
					for err == nil {
						begin = time.Now()
						err = send(price{Cents: 1})
					}
					took = time.Since(begin)
					return err
				})
			inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
				// Without the time-out of its own that would end the stream as well.
				ctx := outcall.NewContext(t.Context(), outcall.Call{Stream: true})
				r, _ := http.NewRequestWithContext(ctx, "GET", "/prices/tea", nil)
				resp, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if took != want {
					t.Errorf("send gave up after %v, want %v", took, want)
				}
				resp.Body.Close()
			})
		}
	})
	t.Run("MayBeCalledFromSeveralGoroutines", func(t *testing.T) {
		h := streamOf(prices, func(_ context.Context, _ watch, send sendPrice) error {
			errs := make(chan error, 10)
			for i := range cap(errs) {
				go func() { errs <- send(price{Seq: int64(i), Cents: 1}) }()
			}
			var err error
			for range cap(errs) {
				err = errors.Join(err, <-errs)
			}
			return err
		})
		inBubble(t, h, func(t *testing.T, c *httpclient.Client) {
			if got, err := collect(t.Context(), prices, c); err != nil || len(got) != 10 {
				t.Errorf("got %d events, %v, want 10", len(got), err)
			}
		})
	})
}

// TestStreamHead: http.ServeMux gives HEAD to a handler of GET, and a stream has no end to wait for.
func TestStreamHead(t *testing.T) {
	h := streamOf(prices, func(context.Context, watch, sendPrice) error { t.Error("the handler ran"); return nil })
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("HEAD", "/prices/tea", nil))
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("status %d, header %v", rec.Code, rec.Header())
	}
}
