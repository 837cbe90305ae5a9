package mainstay_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/transport/health"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// probe is one request of a poller, on a connection of its own.
type probe struct {
	begun, ended time.Time
	status       int // 0 where there was no answer
}

// poll sends requests one after another, a tick apart, until the fifth in a row has no answer. It calls refused at the
// first.
func poll(ctx context.Context, c *http.Client, url string, refused func()) (all []probe) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for failures := 0; failures < 5 && ctx.Err() == nil; <-tick.C {
		p := probe{begun: time.Now()}
		p.status, _ = fetch(ctx, c, url)
		p.ended = time.Now()
		all = append(all, p)
		if p.status != 0 {
			failures = 0
			continue
		}
		failures++
		refused()
	}
	return all
}

// fetch returns status and body, and 0 where they did not come whole.
func fetch(ctx context.Context, c *http.Client, url string) (status int, body string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, ""
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, string(b)
	}
	return resp.StatusCode, string(b)
}

// TestStopLosesNoRequest stops a real server while clients open new connections to it all the time: readiness turns at
// once, everything else goes on for DrainDelay, and a request that has begun by then ends whole, after the listener.
func TestStopLosesNoRequest(t *testing.T) {
	const drainDelay = 500 * time.Millisecond
	quiet := slog.New(slog.DiscardHandler)
	began, finish := make(chan struct{}), make(chan struct{})
	checks := health.New(&health.Options{Logger: quiet})
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", checks.Readiness())
	mux.Handle("GET /livez", checks.Liveness())
	mux.HandleFunc("GET /fast", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "first half, ")
		close(began)
		<-finish
		fmt.Fprint(w, "second half")
	})
	srv := httpserver.New(mux, &httpserver.Options{
		Addr: "127.0.0.1:0", Unauthenticated: true, Unobserved: true, Logger: quiet,
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		o := &mainstay.Options{Logger: quiet, DrainDelay: drainDelay, Grace: 20 * time.Second}
		ended <- mainstay.Run(ctx, o, checks, srv)
	}()
	select {
	case <-srv.Ready():
	case err := <-ended:
		t.Fatalf("Run: %v before the server was ready", err)
	}

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	patience, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	release := sync.OnceFunc(func() { close(finish) })
	defer context.AfterFunc(patience, release)()
	var wg sync.WaitGroup
	wg.Go(func() {
		status, body := fetch(patience, client, "http://"+srv.Addr()+"/slow")
		if status != 200 || body != "first half, second half" {
			t.Errorf("the request that had begun got %d %q, want it whole", status, body)
		}
	})
	<-began
	var ready, live, fast []probe
	base := "http://" + srv.Addr()
	wg.Go(func() { ready = poll(patience, client, base+"/readyz", func() {}) })
	wg.Go(func() { live = poll(patience, client, base+"/livez", func() {}) })
	wg.Go(func() { fast = poll(patience, client, base+"/fast", release) }) // the slow one ends after the listener
	<-time.After(100 * time.Millisecond)                                   // of serving
	stopped := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	wg.Wait()

	closes := stopped.Add(drainDelay) // at the earliest
	for name, all := range map[string][]probe{"liveness": live, "traffic": fast, "readiness": ready} {
		for _, p := range all {
			if p.status == 0 && p.ended.Before(closes) {
				t.Errorf("%s: no answer %v after the stop, want one until %v", name, p.ended.Sub(stopped), drainDelay)
			}
			if p.status != 0 && p.status != 200 && name != "readiness" {
				t.Errorf("%s: status %d, want 200 as long as there is an answer", name, p.status)
			}
		}
		if last := all[len(all)-1]; last.status != 0 {
			t.Errorf("%s: still answered after the stop", name)
		}
	}
	for _, p := range ready {
		switch {
		case p.ended.Before(stopped) && p.status != 200:
			t.Errorf("readiness: %d before the stop, want 200", p.status)
		case p.begun.After(stopped.Add(drainDelay/2)) && p.status == 200:
			t.Errorf("readiness: 200 %v after the stop, want 503 at once", p.begun.Sub(stopped))
		}
	}
	turned := slices.IndexFunc(ready, func(p probe) bool { return p.status == 503 })
	if turned < 0 {
		t.Fatal("readiness never said 503")
	}
	served := 0
	for _, p := range fast {
		if p.status == 200 && p.begun.After(ready[turned].ended) {
			served++
		}
	}
	if served < 3 {
		t.Errorf("%d requests were served after readiness had turned, want those of %v", served, drainDelay)
	}
}
