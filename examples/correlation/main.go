// Command correlation is a plain net/http service with one ID in a request, its answer, and every log line that it
// causes, here and in the service that it calls.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	slog.SetDefault(logging.New(os.Stderr, nil)) // adds the ID of the context to each record
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", *addr)
	if err == nil {
		url := "http://" + listener.Addr().String()
		slog.Info("listening", "url", url)
		server := &http.Server{Handler: correlation.Handler(orders(url)), ReadHeaderTimeout: 10 * time.Second}
		err = server.Serve(listener)
	}
	slog.Error("ended", "error", err)
	os.Exit(1)
}

// orders takes orders, and has the stock reserved by the service at stock, which is this one.
func orders(stock string) *http.ServeMux {
	client := &http.Client{Transport: &correlation.Transport{}, Timeout: 10 * time.Second} // passes the ID on
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{sku}", func(w http.ResponseWriter, r *http.Request) {
		ctx, sku := r.Context(), r.PathValue("sku")
		slog.InfoContext(ctx, "order taken", "sku", sku)
		call, err := http.NewRequestWithContext(ctx, http.MethodPost, stock+"/stock/"+sku, http.NoBody)
		if err != nil {
			http.Error(w, "no such product", http.StatusNotFound)
			return
		}
		res, err := client.Do(call)
		if err != nil {
			slog.ErrorContext(ctx, "stock is out of reach", "error", err)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		defer res.Body.Close()
		w.WriteHeader(res.StatusCode)
	})
	mux.HandleFunc("POST /stock/{sku}", func(_ http.ResponseWriter, r *http.Request) {
		slog.InfoContext(r.Context(), "stock reserved", "sku", r.PathValue("sku"))
	})
	return mux
}
