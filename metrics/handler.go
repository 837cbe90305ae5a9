package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes bounds the scrapes served at once: a pair of Prometheus servers and some curious people. A collector that
// hangs then costs ten goroutines, not one more every scrape interval.
const maxScrapes = 10

// Handler serves what g gathers, nil for prometheus.DefaultGatherer, in the format that the scraper asks for:
// OpenMetrics, protobuf, or the Prometheus text format. The first two carry exemplars, protobuf alone carries native
// histograms; Prometheus asks for what it is configured to take.
//
// A collector that fails does not hide the others: the answer is 200 with what could be gathered, and the error is
// logged to slog.Default(). Only when nothing could be gathered is the answer 500. At most ten scrapes are served at
// once, further ones get 503. It authenticates nobody: serve it on a private port.
func Handler(g prometheus.Gatherer) http.Handler {
	if g == nil {
		g = prometheus.DefaultGatherer
	}
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            scrapeLog{},
		MaxRequestsInFlight: maxScrapes,
	})
}

// scrapeLog is a promhttp.Logger that writes to slog.
type scrapeLog struct{}

func (scrapeLog) Println(v ...any) {
	slog.Error("metrics: scrape", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}
