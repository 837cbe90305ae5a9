package httpserver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// A server is a Runner: it serves until its context ends, and drains.
func ExampleServer() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		caller, _ := auth.FromContext(r.Context())
		fmt.Fprintf(w, "hello %s", caller.Subject)
	})
	srv := httpserver.New(mux, &httpserver.Options{
		Addr: "127.0.0.1:0",
		Verifier: auth.VerifierFunc(func(_ context.Context, token string) (auth.Principal, error) {
			if token != "let me in" {
				return auth.Principal{}, auth.ErrInvalidToken
			}
			return auth.Principal{Subject: "orders", Kind: auth.KindService}, nil
		}),
		Logger:     slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- srv.Run(ctx) }()
	<-srv.Ready()

	for _, token := range []string{"", "let me in"} {
		r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+srv.Addr()+"/hello", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, string(body[:min(len(body), 12)]))
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	fmt.Println(<-ended)
	// Output:
	// 401 {"title":"Un
	// 200 hello orders
	// <nil>
}

// Observe fits any server and router. This one is called through a proxy of its own, whose word counts, and probed all
// the time.
func ExampleObserve() {
	observe := httpserver.Observe(&httpserver.ObserveOptions{
		Logger:     slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
		Trust:      func(r *http.Request) bool { return strings.HasPrefix(r.RemoteAddr, "10.0.0.") },
		Quiet:      func(r *http.Request) bool { return r.URL.Path == "/livez" },
		LogEvery:   100,
	})
	handler := observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, correlation.FromContext(r.Context()) == "order-7")
	}))
	for _, from := range []string{"10.0.0.1:40000", "203.0.113.9:40000"} {
		r := httptest.NewRequest("GET", "/orders", nil)
		r.RemoteAddr = from
		r.Header.Set("X-Correlation-Id", "order-7")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(from, "is taken at its word:", w.Body)
	}
	// Output:
	// 10.0.0.1:40000 is taken at its word: true
	// 203.0.113.9:40000 is taken at its word: false
}
