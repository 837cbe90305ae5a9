// Command layers is a service for browsers: CORS, protection against cross-site requests, compression, load shedding and
// rate limits around a mux, in the order that package httpserver asks for.
package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/health"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

const origin = "https://app.example"

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	slog.SetDefault(logging.New(os.Stderr, nil))
	outer, err := beforeAuth()
	if err == nil {
		server := httpserver.New(service(), &httpserver.Options{Addr: *addr, Verifier: tokens, BeforeAuth: outer})
		go func() {
			<-server.Ready()
			slog.Info("listening", "url", "http://"+server.Addr())
		}()
		err = server.Run(context.Background())
	}
	slog.Error("ended", "error", err)
	os.Exit(1)
}

// beforeAuth is what comes between observing and authentication, outermost first.
func beforeAuth() (func(http.Handler) http.Handler, error) {
	share := cors.New(cors.Options{
		AllowedOrigins: []string{origin}, AllowedMethods: []string{"GET", "POST"}, AllowedHeaders: []string{"Authorization"},
		ExposedHeaders: []string{"RateLimit", "Retry-After"},
	})
	guard := http.NewCrossOriginProtection()
	if err := guard.AddTrustedOrigin(origin); err != nil {
		return nil, err
	}
	shed := httpserver.Shed(resilience.NewShedder(&resilience.ShedderOptions{Limit: 500}), nil)
	return func(next http.Handler) http.Handler {
		return httpserver.SecureHeaders(nil)(share.Handler(guard.Handler(gzhttp.GzipHandler(shed(next)))))
	}, nil
}

// service is the mux and the layers that know the caller.
func service() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /livez", health.New(nil).Liveness())
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("a line of the report\n", 1000))
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	mux.HandleFunc("GET /events", events)
	byCaller := func(r *http.Request) string {
		p, _ := auth.FromContext(r.Context())
		return p.Subject
	}
	quota := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 10, Window: time.Minute})
	return httpserver.RateLimit(quota, &httpserver.RateLimitOptions{Key: byCaller})(mux)
}

// events sends one at once and another when the server stops.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: hello\n\n")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-httpserver.Draining(r.Context()):
		_, _ = io.WriteString(w, "data: bye\n\n")
	case <-r.Context().Done():
	}
}

// tokens stands for auth/jwt.
var tokens = auth.VerifierFunc(func(_ context.Context, token string) (auth.Principal, error) {
	if token != "ada" {
		return auth.Principal{}, auth.ErrInvalidToken
	}
	return auth.Principal{Subject: "ada", Kind: auth.KindUser}, nil
})
