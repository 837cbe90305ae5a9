package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

// cost is what one request costs a side; ns is processor time.
type cost struct{ ns, allocs, bytes float64 }

// caller calls a handler as net/http would, again and again, and adds next to nothing of its own to the cost: one
// request, one writer.
type caller struct {
	handler http.Handler
	request *http.Request
	writer  *writer
	want    int
	prepare func(n int) error   // makes ready for n calls, outside of what is measured; nil where there is nothing to
	ready   func(*http.Request) // makes the request ready for the next call
}

// newOrderCaller sends the hot request.
func newOrderCaller(h http.Handler, token, traceparent string) (*caller, error) {
	r, err := newRequest("http://orders", token, traceparent)
	if err != nil {
		return nil, err
	}
	content := strings.NewReader(body)
	closer := io.NopCloser(content)
	return &caller{
		handler: h, request: r, writer: &writer{header: http.Header{}}, want: http.StatusCreated,
		ready: func(r *http.Request) {
			content.Reset(body)
			r.Body = closer
		},
	}, nil
}

var errRefused = errors.New("the hot request was refused")

// call returns an error where the answer is not the one that was to be measured.
func (c *caller) call() error {
	c.ready(c.request)
	c.writer.reset()
	c.handler.ServeHTTP(c.writer, c.request)
	if c.writer.status != c.want {
		return fmt.Errorf("%w: status %d: %s", errRefused, c.writer.status, c.writer.body.Bytes())
	}
	return nil
}

// cost calls for about d on this goroutine. What the garbage collector does meanwhile is part of it.
func (c *caller) cost(d time.Duration) (total cost, err error) {
	batch := 512 // between two looks at the clocks
	if c.prepare != nil {
		batch = 4096 // so that the garbage of the batch counts, and that of its preparation hardly does
	}
	runtime.GC()
	n := 0
	for start := time.Now(); time.Since(start) < d; n += batch {
		if c.prepare != nil {
			if err := c.prepare(batch); err != nil {
				return cost{}, err
			}
			runtime.GC()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		used := bench.CPUTime()
		for range batch {
			if err := c.call(); err != nil {
				return cost{}, err
			}
		}
		total.ns += float64(bench.CPUTime() - used)
		runtime.ReadMemStats(&after)
		total.allocs += float64(after.Mallocs - before.Mallocs)
		total.bytes += float64(after.TotalAlloc - before.TotalAlloc)
	}
	return cost{ns: total.ns / float64(n), allocs: total.allocs / float64(n), bytes: total.bytes / float64(n)}, nil
}

// writer has the optional methods of net/http's own, so that wrappers take the way they take in a server.
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

func (w *writer) WriteString(s string) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.WriteString(s)
}

func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.ReadFrom(r)
}

func (w *writer) Flush() {}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }
