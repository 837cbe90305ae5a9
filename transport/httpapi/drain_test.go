package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/httpserver"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// balanced sends each request to the first server that takes it.
type balanced []*httpclient.Client

func (b balanced) Do(r *http.Request) (resp *http.Response, err error) {
	for _, c := range b {
		if resp, err = c.Do(r); err == nil {
			return resp, nil
		}
	}
	return nil, err
}

// TestStreamDrains: a stream ends when its server stops, at once, and its listener goes on at another replica.
func TestStreamDrains(t *testing.T) {
	var replicas balanced
	start := func(n int) (stop func() error) {
		h := streamOf(prices, func(ctx context.Context, r watch, send sendPrice) error {
			if err := send(price{Seq: r.After + 1, Cents: n}); err != nil {
				return err
			}
			<-ctx.Done()
			if err := send(price{Seq: 99}); err == nil {
				t.Error("a server that drains sent an event")
			}
			return ctx.Err()
		})
		srv := httpserver.New(h, &httpserver.Options{Addr: "127.0.0.1:0", Unauthenticated: true,
			Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), DrainTimeout: 5 * time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- srv.Run(ctx) }()
		select {
		case <-srv.Ready():
		case err := <-ran:
			t.Fatal(err)
		}
		c := httpclient.New("http://"+srv.Addr(), &httpclient.Options{Registerer: prometheus.NewRegistry()})
		t.Cleanup(c.CloseIdleConnections)
		replicas = append(replicas, c)
		return func() error { cancel(); return <-ran }
	}
	stops := []func() error{start(1), start(2)}

	var got []price
	for p, err := range prices.Call(t.Context(), &replicas, watch{SKU: "tea"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
		begin := time.Now()
		stop := stops[0]
		if len(got) == 2 {
			break
		}
		if err := stop(); err != nil || time.Since(begin) > time.Minute {
			t.Errorf("Run = %v after %v, want nil long before the drain's time is up", err, time.Since(begin))
		}
	}
	if want := (price{Seq: 2, Cents: 2}); len(got) != 2 || got[1] != want {
		t.Errorf("got %+v, want the second replica to go on with %+v", got, want)
	}
	if err := stops[1](); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// TestStreamThatHasNotBegun is answered as what another replica is to be asked.
func TestStreamThatHasNotBegun(t *testing.T) {
	stopping := make(chan struct{})
	close(stopping)
	h := streamOf(prices, func(ctx context.Context, _ watch, _ sendPrice) error { <-ctx.Done(); return ctx.Err() })
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/prices/tea", nil)
	h.ServeHTTP(rec, r.WithContext(reqstate.WithDraining(t.Context(), stopping)))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s, want 503", rec.Code, rec.Body)
	}
}
