package health_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/transport/health"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func probe(h http.Handler) string {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	return fmt.Sprint(rec.Code, " ", strings.TrimSpace(rec.Body.String()))
}

func quiet(o health.Options) *health.Options {
	o.Logger = slog.New(slog.DiscardHandler)
	return &o
}

func check(name string, f func(context.Context) error) health.Check {
	return health.Check{Name: name, Check: f}
}

func pass(context.Context) error { return nil }

func TestReadiness(t *testing.T) {
	t.Run("IsOKWithoutChecks", func(t *testing.T) {
		if got, want := probe(health.New(nil).Readiness()), `200 {"status":"ok"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("NamesWhatFailsWithoutItsText", func(t *testing.T) {
		h := health.New(quiet(health.Options{}), check("db", pass),
			check("broker", func(context.Context) error { return errors.New("dial 10.0.0.7: secret") }),
			check("cache", func(context.Context) error { panic("secret") }))
		want := `503 {"status":"unavailable","checks":{"broker":"failing","cache":"failing","db":"ok"}}`
		if got := probe(h.Details()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := probe(h.Readiness()), `503 {"status":"unavailable"}`; got != want {
			t.Errorf("to the public: got %s, want %s", got, want)
		}
		if got, want := probe(h.Liveness()), `200 {"status":"ok"}`; got != want {
			t.Errorf("liveness: got %s, want %s", got, want)
		}
	})
	t.Run("BoundsAStuckCheckAndStartsNoSecond", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var calls atomic.Int64
			h := health.New(quiet(health.Options{}),
				check("db", func(context.Context) error { calls.Add(1); <-release; return nil }))
			for range 3 {
				begin := time.Now()
				if got, want := probe(h.Details()), `503 {"status":"unavailable","checks":{"db":"timeout"}}`; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if took := time.Since(begin); took > 2*time.Second {
					t.Errorf("took %v, want at most 2s", took)
				}
				time.Sleep(5 * time.Second)
			}
			if n := calls.Load(); n != 1 {
				t.Errorf("%d calls of a check that is stuck, want 1", n)
			}
			close(release)
			synctest.Wait()
			if got, want := probe(h.Details()), `200 {"status":"ok","checks":{"db":"ok"}}`; got != want {
				t.Errorf("after it returned: got %s, want %s", got, want)
			}
		})
	})
	t.Run("RunsChecksAtOnceAndProbesTogether", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			slow := func(context.Context) error { calls.Add(1); time.Sleep(time.Second); return nil }
			h := health.New(quiet(health.Options{}), check("a", slow), check("b", slow))
			begin := time.Now()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { probe(h.Readiness()) })
			}
			wg.Wait()
			if took := time.Since(begin); took != time.Second || calls.Load() != 2 {
				t.Errorf("%d calls in %v, want 2 in 1s", calls.Load(), took)
			}
			probe(h.Readiness())
			time.Sleep(time.Second)
			probe(h.Readiness())
			if calls.Load() != 4 {
				t.Errorf("%d calls, want 4: a result stands for a second", calls.Load())
			}
		})
	})
	t.Run("IsAskedEachTimeWhenMaxAgeIsNegative", func(t *testing.T) {
		var calls atomic.Int64
		h := health.New(quiet(health.Options{MaxAge: -1}),
			check("a", func(context.Context) error { calls.Add(1); return nil }))
		probe(h.Readiness())
		probe(h.Readiness())
		if calls.Load() != 2 {
			t.Errorf("%d calls, want 2", calls.Load())
		}
	})
	t.Run("DoesNotFailForOneProbeThatLeaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := health.New(quiet(health.Options{}), check("a", func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Second):
					return nil
				}
			}))
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
				h.Readiness().ServeHTTP(httptest.NewRecorder(), r)
			}()
			synctest.Wait()
			cancel()
			if got := probe(h.Readiness()); !strings.HasPrefix(got, "200") {
				t.Errorf("the other probe got %s", got)
			}
		})
	})
	t.Run("AsksWhatWasAddedLater", func(t *testing.T) {
		h := health.New(quiet(health.Options{MaxAge: -1}))
		probe(h.Readiness())
		h.Add(check("db", func(context.Context) error { return errors.New("down") }))
		if got := probe(h.Readiness()); !strings.HasPrefix(got, "503") {
			t.Errorf("got %s, want 503", got)
		}
	})
	t.Run("StaysDownAfterDrain", func(t *testing.T) {
		h := health.New(quiet(health.Options{}), check("db", pass))
		probe(h.Readiness())
		h.Drain()
		for range 3 {
			if got, want := probe(h.Readiness()), `503 {"status":"draining"}`; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := probe(h.Liveness()); !strings.HasPrefix(got, "200") {
			t.Errorf("liveness: got %s, want 200", got)
		}
	})
}

func TestRunDrains(t *testing.T) {
	h := health.New(nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	if got := probe(h.Readiness()); !strings.HasPrefix(got, "200") {
		t.Errorf("before: %s", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if got := probe(h.Readiness()); !strings.HasPrefix(got, "503") {
		t.Errorf("after: %s", got)
	}
}

func TestLogsChangesOnly(t *testing.T) {
	var log bytes.Buffer
	var err error
	h := health.New(&health.Options{MaxAge: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))},
		check("db", func(context.Context) error { return err }))
	for _, e := range []error{nil, nil, errors.New("down"), errors.New("down"), nil, nil} {
		err = e
		probe(h.Readiness())
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "error=down") {
		t.Errorf("log:\n%swant two lines", log.String())
	}
}

// TestLeavesTheBalancerFirst is the whole stop: readiness turns, traffic goes on, then the listener closes.
func TestLeavesTheBalancerFirst(t *testing.T) {
	checks := health.New(quiet(health.Options{}))
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", checks.Readiness())
	mux.Handle("GET /livez", checks.Liveness())
	mux.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) {})
	srv := httpserver.New(mux, &httpserver.Options{
		Addr: "127.0.0.1:0", Unauthenticated: true, Unobserved: true, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- srv.Run(ctx) }()
	<-srv.Ready()
	tr := &http.Transport{DisableKeepAlives: true}
	get := func(path string) int {
		resp, err := (&http.Client{Transport: tr}).Get("http://" + srv.Addr() + path)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, step := range []struct {
		do                 func()
		ready, live, plain int
	}{
		{func() {}, 200, 200, 200},
		{func() { checks.Drain(); srv.Drain() }, 503, 200, 200},
		{func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		}, 0, 0, 0},
	} {
		step.do()
		if r, l, p := get("/readyz"), get("/livez"), get("/"); r != step.ready || l != step.live || p != step.plain {
			t.Errorf("readiness %d, liveness %d, traffic %d; want %d, %d, %d", r, l, p, step.ready, step.live, step.plain)
		}
	}
}

func TestProbesNeedNoCredential(t *testing.T) {
	checks, mux := health.New(nil), http.NewServeMux()
	mux.Handle("GET /livez", checks.Liveness())
	mux.Handle("GET /startupz", checks.Startup())
	mux.Handle("GET /readyz", checks.Readiness())
	mux.Handle("GET /details", checks.Details())
	h := httpserver.Authenticate(nil, nil)(mux)
	for path, want := range map[string]int{"/livez": 200, "/startupz": 200, "/readyz": 200, "/details": 401} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if rec.Code != want {
			t.Errorf("%s without a credential: status %d, want %d", path, rec.Code, want)
		}
	}
}

func TestStartup(t *testing.T) {
	t.Run("WaitsForWhatIsMarked", func(t *testing.T) {
		var calls int
		migrated, db := errors.New("still"), errors.New("down")
		h := health.New(quiet(health.Options{MaxAge: -1}),
			health.Check{Name: "migrations", Startup: true, Check: func(context.Context) error { calls++; return migrated }},
			check("db", func(context.Context) error { return db }))
		for _, step := range []struct {
			do                     func()
			startup, ready, called int
		}{
			{func() {}, 503, 503, 2},
			{func() { migrated = nil }, 200, 503, 1}, // no restart mends the database
			{func() { db = nil }, 200, 200, 0},
			{func() { migrated = errors.New("forgotten") }, 200, 200, 0}, // it has passed
			{h.Drain, 200, 503, 0},
		} {
			calls = 0
			step.do()
			startup, ready := probe(h.Startup()), probe(h.Readiness())
			if startup[:3] != fmt.Sprint(step.startup) || ready[:3] != fmt.Sprint(step.ready) || calls != step.called {
				t.Errorf("start-up %s, readiness %s, %d calls; want %d, %d, %d",
					startup, ready, calls, step.startup, step.ready, step.called)
			}
		}
	})
	t.Run("IsOverWhereNothingIsMarked", func(t *testing.T) {
		h := health.New(nil, check("db", func(context.Context) error { t.Error("asked"); return nil }))
		if got, want := probe(h.Startup()), `200 {"status":"ok"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("TellsNoNames", func(t *testing.T) {
		h := health.New(quiet(health.Options{}), health.Check{Name: "secret", Startup: true,
			Check: func(context.Context) error { return errors.New("no") }})
		if got, want := probe(h.Startup()), `503 {"status":"unavailable"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestLivenessAsksNobody has a dependency that hangs.
func TestLivenessAsksNobody(t *testing.T) {
	h := health.New(nil, health.Check{Name: "db", Startup: true, Check: func(context.Context) error {
		t.Error("liveness asked a dependency")
		return nil
	}})
	h.Drain()
	if got, want := probe(h.Liveness()), `200 {"status":"ok"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestAHungCheckCostsItsOwnTimeout: the others are answered within theirs, and the next round waits for none.
func TestAHungCheckCostsItsOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hung := health.Check{Name: "hung", Timeout: 5 * time.Second, Check: func(context.Context) error {
			<-release
			return nil
		}}
		slow := health.Check{Name: "slow", Timeout: 3 * time.Second, Check: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		h := health.New(quiet(health.Options{}), hung, slow, check("db", pass))
		want := `503 {"status":"unavailable","checks":{"db":"ok","hung":"timeout","slow":"timeout"}}`
		for _, took := range []time.Duration{5 * time.Second, 0, 3 * time.Second} {
			begin := time.Now()
			if got := probe(h.Details()); got != want || time.Since(begin) != took {
				t.Errorf("got %s after %v, want %s after %v", got, time.Since(begin), want, took)
			}
			if took == 0 {
				time.Sleep(time.Second) // the round is too old now
			}
		}
		close(release)
		synctest.Wait()
	})
}

func BenchmarkReadiness(b *testing.B) {
	h := health.New(nil, check("db", pass)).Readiness()
	r := httptest.NewRequest("GET", "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
