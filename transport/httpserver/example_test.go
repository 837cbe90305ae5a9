package httpserver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/auth"
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

// Observe fits any server and router.
func ExampleObserve() {
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	srv := &http.Server{Handler: httpserver.Observe(nil)(handler)}
	_ = srv
}
