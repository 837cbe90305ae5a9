package idempotency

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
)

// The outcomes that are counted.
const (
	outcomeExecuted = "executed" // the handler ran, and its answer was kept
	outcomeUnkept   = "unkept"   // the handler ran, and the key is free again
	outcomeReplayed = "replayed"
	outcomeConflict = "conflict" // another request of the key was being handled
	outcomeMismatch = "mismatch" // the key belonged to another request
	outcomeInvalid  = "invalid"  // there was no key, or none that is one
	outcomeLost     = "lost"     // the handler ran for longer than its lease could be kept
	outcomeFailed   = "failed"   // the database did not do its part
)

// counts counts requests by their outcome.
type counts struct{ requests *prometheus.CounterVec }

func newCounts(reg prometheus.Registerer) (*counts, error) {
	c, err := metrics.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mainstay_idempotency_requests_total",
		Help: "Requests of handlers with idempotency keys, by what became of them.",
	}, []string{"http_route", "outcome"}))
	return &counts{c}, err
}

// add counts one. The route is a mux's pattern, "" where there is none: a path would make a series each.
func (c *counts) add(route, outcome string) {
	c.requests.WithLabelValues(strings.ToValidUTF8(route, "\uFFFD"), outcome).Inc()
}
