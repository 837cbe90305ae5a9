package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// cost is what one request costs a side; ns is processor time.
type cost struct{ ns, allocs, bytes float64 }

// measure returns a function that calls h for about d on its goroutine, as net/http would. What the garbage collector
// does meanwhile is part of the cost.
func measure(h http.Handler, d time.Duration) func() (cost, error) {
	return func() (total cost, err error) {
		const batch = 256 // between two looks at the clocks
		r, w := newRequest("application/json", body), &writer{header: http.Header{}}
		content := strings.NewReader("")
		r.Body = io.NopCloser(content)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start, used, n := time.Now(), bench.CPUTime(), 0
		for time.Since(start) < d {
			for range batch {
				content.Reset(body)
				w.reset()
				h.ServeHTTP(w, r)
				if w.status != http.StatusCreated {
					return cost{}, fmt.Errorf("the hot request was refused: status %d: %s", w.status, w.body.Bytes())
				}
			}
			n += batch
		}
		used = bench.CPUTime() - used
		runtime.ReadMemStats(&after)
		per := func(v float64) float64 { return v / float64(n) }
		return cost{
			ns: per(float64(used)), allocs: per(float64(after.Mallocs - before.Mallocs)),
			bytes: per(float64(after.TotalAlloc - before.TotalAlloc)),
		}, nil
	}
}

func newRequest(contentType, content string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, strings.NewReader(content))
	r.Header.Set("Content-Type", contentType)
	return r
}

// writer is a response that is used again.
type writer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *writer) reset() {
	clear(w.header)
	w.status = 0
	w.body.Reset()
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
