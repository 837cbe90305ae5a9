package httpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/internal/pipenet"
)

// hedging hedges every call that is slower than most of the 19 before it.
func hedging(o resilience.Options) *resilience.Policy {
	o.Hedge = &resilience.HedgeOptions{MaxRatio: -1}
	return quick(o)
}

// slowFirst is a server that takes 10ms, but for the first try of a request with the header Slow, which gets no answer,
// and whose end is counted.
type slowFirst struct {
	tries, ended, inTime atomic.Int64
	bodies               sync.Map // of slow requests, by try
}

func (s *slowFirst) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Slow") == "" {
		time.Sleep(10 * time.Millisecond)
		return
	}
	n := s.tries.Add(1)
	b, _ := io.ReadAll(r.Body)
	s.bodies.Store(n, string(b)+" "+r.Header.Get("Authorization"))
	if n == 1 {
		select {
		case <-r.Context().Done():
			s.ended.Add(1)
		case <-time.After(time.Second):
			s.inTime.Add(1)
		}
		return
	}
	fmt.Fprint(w, "first half, ")
	w.(http.Flusher).Flush()
	time.Sleep(5 * time.Second)
	fmt.Fprint(w, "second half")
}

func TestHedgeSendsASecondTry(t *testing.T) {
	for _, tt := range []struct {
		method, key string
		hedged      bool
	}{
		{"GET", "", true}, {"PUT", "", true}, {"DELETE", "", true}, {"POST", "k-1", true}, {"POST", "", false}, {"PATCH", "", false},
	} {
		t.Run(tt.method+tt.key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &slowFirst{}
				ln := pipenet.New()
				srv := &http.Server{Handler: h}
				go srv.Serve(ln)
				base := ln.Transport()
				f := &fixture{spans: tracetest.NewInMemoryExporter(), reg: prometheus.NewRegistry()}
				var tokens atomic.Int64
				f.client = httpclient.New("http://x", &httpclient.Options{
					Base: base, Registerer: f.reg, TracerProvider: trace.NewTracerProvider(trace.WithSyncer(f.spans)),
					Policy: hedging(resilience.Options{}), Audience: "x",
					TokenSource: auth.TokenSourceFunc(func(context.Context, string) (string, error) {
						return fmt.Sprint("t-", tokens.Add(1)), nil
					}),
				})
				for range 19 {
					read(t, f.do(t, request(t, t.Context(), tt.method, "/", nil), tt.key))
				}
				f.spans.Reset()
				r := request(t, t.Context(), tt.method, "/", strings.NewReader("order"))
				r.Header.Set("Slow", "1")
				start := time.Now()
				resp := f.do(t, r, tt.key)
				waited := time.Since(start)
				body := read(t, resp)
				if tt.hedged {
					f.wantHedged(t, h, body, waited)
				} else if body != "" || h.tries.Load() != 1 || h.inTime.Load() != 1 {
					t.Errorf("%d tries, %q, want the answer to one", h.tries.Load(), body)
				}
				base.CloseIdleConnections()
				srv.Close()
			})
		})
	}
}

func (f *fixture) do(t *testing.T, r *http.Request, key string) *http.Response {
	t.Helper()
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	resp, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func (f *fixture) wantHedged(t *testing.T, h *slowFirst, body string, waited time.Duration) {
	t.Helper()
	if body != "first half, second half" {
		t.Errorf("body %q, want the second try's, whole", body)
	}
	if waited > 20*time.Millisecond {
		t.Errorf("an answer after %v, want about 10ms", waited)
	}
	synctest.Wait()
	if h.tries.Load() != 2 || h.ended.Load() != 1 {
		t.Errorf("%d tries, %d of them cancelled, want 2 and 1", h.tries.Load(), h.ended.Load())
	}
	for n := int64(1); n <= 2; n++ {
		if got, _ := h.bodies.Load(n); got != fmt.Sprint("order Bearer t-", 19+n) {
			t.Errorf("try %d carried %q, want the whole body and a token of its own", n, got)
		}
	}
	resent := make(map[int64]bool)
	for _, s := range f.spans.GetSpans() {
		n := int64(0)
		for _, a := range s.Attributes {
			if a.Key == attribute.Key("http.request.resend_count") {
				n = a.Value.AsInt64()
			}
		}
		resent[n] = true
	}
	if want := map[int64]bool{0: true, 1: true}; !reflect.DeepEqual(resent, want) {
		t.Errorf("spans with resend counts %v, want one of 0 and one of 1", resent)
	}
	canceled := uint64(0)
	for series, n := range f.series(t) {
		if strings.HasSuffix(series, " canceled") {
			canceled += n
		}
	}
	if canceled != 1 {
		t.Errorf("%d samples of cancelled tries, want 1", canceled)
	}
}

// tied is a transport whose tries all answer in the same moment, and that counts the bodies left open.
type tied struct {
	delay atomic.Int64
	open  atomic.Int64
	fails atomic.Bool // every other one
	n     atomic.Int64
}

func (b *tied) RoundTrip(r *http.Request) (*http.Response, error) {
	// The next moment is the same for a try that began a little later.
	delay := time.Duration(b.delay.Load())
	select {
	case <-time.After(time.Until(time.Now().Truncate(delay).Add(delay))):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	b.open.Add(1)
	status := 200
	if b.n.Add(1)%2 == 0 && b.fails.Load() {
		status = 503
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Body: &counted{strings.NewReader("answer"), b}}, nil
}

type counted struct {
	io.Reader
	b *tied
}

func (c *counted) Close() error {
	if c.b != nil {
		c.b.open.Add(-1)
		c.b = nil
	}
	return nil
}

func TestHedgeClosesTheLosersBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &tied{}
		b.delay.Store(int64(10 * time.Millisecond))
		client := &http.Client{Transport: httpclient.Guard(hedging(resilience.Options{}))(b)}
		for i := range 200 {
			if i == 19 {
				b.delay.Store(int64(time.Second))
			}
			b.fails.Store(i >= 100)
			resp, err := client.Do(request(t, t.Context(), "GET", "http://x/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := b.open.Load(); got != 1 {
				t.Fatalf("call %d: %d bodies open, want the caller's", i, got)
			}
			if got := read(t, resp); got != "answer" {
				t.Fatalf("call %d: body %q, want answer", i, got)
			}
		}
	})
}

// duel is a server that answers the first requests at once. The next two meet: when both have arrived, each does what
// its number says.
type duel struct {
	quick, arrived atomic.Int64
	met            chan struct{}
	acts           [2]string
	left           [2]chan struct{} // closed when that one's handler has returned
}

func newDuel(quick int64, acts [2]string) *duel {
	d := &duel{met: make(chan struct{}), acts: acts, left: [2]chan struct{}{make(chan struct{}), make(chan struct{})}}
	d.quick.Store(quick)
	return d
}

func (d *duel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if d.quick.Add(-1) >= 0 {
		return
	}
	n := d.arrived.Add(1) - 1
	defer close(d.left[n])
	if n == 1 {
		close(d.met)
	}
	select {
	case <-d.met:
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Try", fmt.Sprint(n+1))
	w.Header().Set("Body", string(b))
	switch d.acts[n] {
	case "answers":
		_, _ = w.Write(make([]byte, 512<<10))
	case "fails":
		w.WriteHeader(503)
	case "breaks off":
		panic(http.ErrAbortHandler)
	case "hangs":
		<-r.Context().Done()
	}
}

// outcome is what the caller gets.
type outcome struct {
	status int    // 0 for an error
	try    string // whose answer it is, "" for either
	err    error
}

func TestHedgeDuelsOnRealSockets(t *testing.T) {
	for _, tt := range []struct {
		acts   [2]string
		cancel bool
		want   outcome
	}{
		{acts: [2]string{"answers", "hangs"}, want: outcome{status: 200, try: "1"}},
		{acts: [2]string{"hangs", "answers"}, want: outcome{status: 200, try: "2"}},
		{acts: [2]string{"answers", "answers"}, want: outcome{status: 200}},
		{acts: [2]string{"fails", "answers"}, want: outcome{status: 200, try: "2"}},
		{acts: [2]string{"answers", "fails"}, want: outcome{status: 200, try: "1"}},
		{acts: [2]string{"breaks off", "answers"}, want: outcome{status: 200, try: "2"}},
		{acts: [2]string{"fails", "fails"}, want: outcome{status: 503}},
		{acts: [2]string{"fails", "hangs"}, want: outcome{status: 503, try: "1"}},
		{acts: [2]string{"hangs", "hangs"}, want: outcome{err: context.DeadlineExceeded}},
		{acts: [2]string{"hangs", "hangs"}, cancel: true, want: outcome{err: context.Canceled}},
	} {
		t.Run(fmt.Sprintf("OneAndTheOther=%v,Cancel=%t", tt.acts, tt.cancel), func(t *testing.T) {
			t.Parallel() // some wait for the time of an attempt
			d := newDuel(19, tt.acts)
			resp, err := d.fight(t, tt.cancel)
			for n, act := range d.acts {
				if act == "hangs" && d.arrived.Load() > int64(n) {
					<-d.left[n] // so that the winner's body is read when the loser is long gone
				}
			}
			tt.want.check(t, resp, err)
		})
	}
}

// fight returns what the first request gets that is not answered at once. Its caller cancels when the two have met, if
// so told.
func (d *duel) fight(t *testing.T, cancels bool) (*http.Response, error) {
	limit := 20 * time.Second
	if d.acts[1] == "hangs" && d.acts[0] != "answers" && !cancels {
		limit = 2 * time.Second // what the test waits for
	}
	f := setUp(t, d.ServeHTTP, httpclient.Options{Policy: hedging(resilience.Options{
		AttemptTimeout: limit, Retry: resilience.RetryOptions{MaxAttempts: -1},
	})})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	if cancels {
		go func() {
			select {
			case <-d.met:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	for {
		last := d.quick.Load() <= 0
		resp, err := f.client.Do(request(t, ctx, "PUT", "/", strings.NewReader("whole")))
		if last || err != nil {
			return resp, err
		}
		read(t, resp)
	}
}

func (want outcome) check(t *testing.T, resp *http.Response, err error) {
	t.Helper()
	if want.status == 0 {
		if !errors.Is(err, want.err) {
			t.Errorf("got %v, %v; want %v", resp, err, want.err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	size := map[int]int{200: 512 << 10}[want.status]
	if got := len(read(t, resp)); got != size || resp.StatusCode != want.status {
		t.Errorf("%d with %d bytes, want %d with %d", resp.StatusCode, got, want.status, size)
	}
	try, body := resp.Header.Get("Try"), resp.Header.Get("Body")
	if want.try != "" && try != want.try || body != "whole" {
		t.Errorf("the answer is try %s's to %q, want %s's to the whole", try, body, want.try)
	}
}

// TestHedgeOnRealSockets has callers who cancel, servers that fail and answer, and winners and losers of all kinds.
func TestHedgeOnRealSockets(t *testing.T) {
	f := setUp(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // a loser
		}
		select {
		case <-time.After(rand.N(8 * time.Millisecond)):
		case <-r.Context().Done():
			return
		}
		if rand.IntN(4) == 0 {
			w.WriteHeader(503)
		}
		fmt.Fprintf(w, "%s/%s", r.URL.Path, b)
	}, httpclient.Options{Policy: resilience.New("p", &resilience.Options{
		Logger: slog.New(slog.DiscardHandler), Hedge: &resilience.HedgeOptions{Quantile: 0.5, MinDelay: -1, MaxRatio: -1},
		Retry:   resilience.RetryOptions{MinBackoff: time.Microsecond, MaxRatio: -1},
		Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
	})})
	var wg sync.WaitGroup
	var answers, left atomic.Int64
	for worker := range 8 {
		wg.Go(func() {
			for i := range 60 {
				path := fmt.Sprintf("/%d/%d", worker, i)
				ctx, cancel := context.WithCancel(t.Context())
				leave := time.AfterFunc(rand.N(100*time.Millisecond), cancel)
				r, err := http.NewRequestWithContext(ctx, "PUT", path, strings.NewReader(path))
				if err != nil {
					t.Error(err)
				}
				resp, err := f.client.Do(r)
				var b []byte
				if err == nil {
					b, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				switch {
				case err == nil && string(b) == path+"/"+path:
					answers.Add(1)
				case errors.Is(err, context.Canceled):
					left.Add(1)
				default:
					t.Errorf("%s: %q, %v", path, b, err)
				}
				leave.Stop()
				cancel()
			}
		})
	}
	wg.Wait()
	if answers.Load() == 0 {
		t.Errorf("no answers, %d callers left", left.Load())
	}
}

// The winner's body is whole long after both tries have ended, over both protocols and with all stages around.
func TestHedgeLeavesTheWinnersBody(t *testing.T) {
	const size = 512 << 10
	for name, protocol := range map[string]func(*http.Protocols, bool){
		"HTTP1": (*http.Protocols).SetHTTP1, "HTTP2": (*http.Protocols).SetUnencryptedHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var protocols http.Protocols
				protocol(&protocols, true)
				var tries, left atomic.Int64
				ln := pipenet.New()
				srv := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					delay := 10 * time.Millisecond
					if r.URL.Path == "/slow" {
						delay = []time.Duration{20 * time.Millisecond, 200 * time.Millisecond}[tries.Add(1)%2]
					}
					select {
					case <-time.After(delay):
						_, _ = w.Write(make([]byte, size))
					case <-r.Context().Done():
						left.Add(1)
					}
				})}
				go srv.Serve(ln)
				base := ln.Transport()
				base.Protocols = &protocols
				c := httpclient.New("http://x", &httpclient.Options{
					Base: base, Registerer: prometheus.NewRegistry(), Policy: hedging(resilience.Options{}),
				})
				get := func(path string) *http.Response {
					resp, err := c.Do(request(t, t.Context(), "GET", path, nil))
					if err != nil {
						t.Fatal(err)
					}
					return resp
				}
				for range 19 {
					read(t, get("/"))
				}
				const runs = 20
				for range runs {
					tries.Store(0) // the first try is the slow one
					resp := get("/slow")
					time.Sleep(50 * time.Millisecond)
					if n := left.Swap(0); n != 1 {
						t.Fatalf("%d tries were cancelled 50ms after the answer, want the slower one", n)
					}
					time.Sleep(450 * time.Millisecond)
					if n := len(read(t, resp)); n != size {
						t.Fatalf("%d bytes, want %d", n, size)
					}
				}
				base.CloseIdleConnections()
				srv.Close()
			})
		})
	}
}
