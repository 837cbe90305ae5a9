// Command chi is a chi service with rate, errors and duration of its routes at /metrics, under chi's patterns.
package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	slog.SetDefault(logging.New(os.Stderr, nil))
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", *addr)
	if err == nil {
		slog.Info("listening", "url", "http://"+listener.Addr().String())
		server := &http.Server{Handler: users(), ReadHeaderTimeout: 10 * time.Second}
		err = server.Serve(listener)
	}
	slog.Error("ended", "error", err)
	os.Exit(1)
}

func users() http.Handler {
	r := chi.NewRouter()
	// Outermost, and inside of chi, so that each request has chi's context when it is asked for its route.
	r.Use(httpserver.Observe(&httpserver.ObserveOptions{
		Route: func(r *http.Request) string { return chi.RouteContext(r.Context()).RoutePattern() },
		Quiet: func(r *http.Request) bool { return r.URL.Path == "/metrics" },
	}))
	r.Use(middleware.Timeout(10 * time.Second))
	r.Handle("/metrics", metrics.Handler(nil)) // on a port of its own, where strangers call
	r.Route("/users", func(r chi.Router) {
		r.Get("/{id}", func(w http.ResponseWriter, r *http.Request) {
			if id := chi.URLParam(r, "id"); id != "42" {
				http.Error(w, "no such user", http.StatusNotFound)
				return
			}
			_, _ = io.WriteString(w, "Ada\n")
		})
	})
	return r
}
