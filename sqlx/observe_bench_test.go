package sqlx

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkObserve is what measuring one statement costs, outside a trace.
func BenchmarkObserve(b *testing.B) {
	o, err := newObserver(Postgres, Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		o.begin(b.Context(), operationOf(`INSERT INTO orders (id) VALUES ($1)`)).end(nil)
	}
}
