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

// caller calls a handler as net/http would, again and again, and adds nothing of its own to the cost: one request, one
// writer.
type caller struct {
	handler http.Handler
	request *http.Request
	body    *strings.Reader
	closer  io.ReadCloser // of body
	writer  *writer
}

func newCaller(h http.Handler, token, traceparent string) (*caller, error) {
	r, err := newRequest("http://orders", token, traceparent)
	if err != nil {
		return nil, err
	}
	c := &caller{handler: h, request: r, body: strings.NewReader(body), writer: &writer{header: http.Header{}}}
	c.closer = io.NopCloser(c.body)
	return c, nil
}

var errRefused = errors.New("the hot request was refused")

// call returns an error where the answer is not the one that was to be measured.
func (c *caller) call() error {
	c.body.Reset(body)
	c.request.Body = c.closer
	c.writer.reset()
	c.handler.ServeHTTP(c.writer, c.request)
	if c.writer.status != http.StatusCreated {
		return fmt.Errorf("%w: status %d: %s", errRefused, c.writer.status, c.writer.body.Bytes())
	}
	return nil
}

// cost calls for about d on this goroutine. What the garbage collector does meanwhile is part of it.
func (c *caller) cost(d time.Duration) (cost, error) {
	const batch = 64 // between two looks at the clock
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start, used, n := time.Now(), bench.CPUTime(), 0
	for time.Since(start) < d {
		for range batch {
			if err := c.call(); err != nil {
				return cost{}, err
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
