package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

// What package httpserver promises of its labels: so many methods, and one route more than there are.
const (
	methodLabels = 10
	edgeRoutes   = 2 + 1
)

// TestCardinality has strangers send a hundred thousand requests to the edge, no two alike, while the collector is down
// too: what they make up costs a bounded number of series, and no memory that stays.
func TestCardinality(t *testing.T) {
	const half = 50_000
	r := otlptest.NewReceiver(t)
	r.Close()
	s := openShop(t, options{otlp: overOTLP["GRPC"](r)})
	s.completeOrder(t)
	s.logs.mute() // what it keeps would be all that grows
	before := s.series(t, "orders")

	statuses := map[int]int{}
	attack(t, s.http["orders"], half, statuses)
	heap := liveHeap()
	attack(t, s.http["orders"], half, statuses)
	grown := int64(liveHeap()) - int64(heap) //nolint:gosec // far below 2^63
	after := s.series(t, "orders")
	t.Logf("statuses %v; %d series of requests; heap %d bytes more after the second half",
		statuses, after["http_server_request_duration_seconds_count"], grown)

	if grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes with the second half, want it flat", grown)
	}
	most := methodLabels * edgeRoutes * len(statuses)
	if got := after["http_server_request_duration_seconds_count"]; got > most {
		t.Errorf("%d series of requests, want %d at most: methods × routes × statuses", got, most)
	}
	if got := after["http_server_active_requests"]; got > methodLabels {
		t.Errorf("%d series of active requests, want %d at most", got, methodLabels)
	}
	for name, n := range after {
		if n != before[name] && !strings.HasPrefix(name, "http_server_") {
			t.Errorf("%d series of %s, want %d as before", n, name, before[name])
		}
	}
}

// series counts the series on the admin page of a service, by name.
func (s *shop) series(t *testing.T, service string) map[string]int {
	t.Helper()
	_, page := get(t, "http://"+s.admin[service]+"/metrics")
	counts := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)[{ ]`).FindAllStringSubmatch(page, -1) {
		counts[m[1]]++
	}
	return counts
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// attack sends n requests on a few connections, each request before the answers to those before it, and counts the
// statuses of the answers.
func attack(t *testing.T, addr string, n int, statuses map[int]int) {
	t.Helper()
	const conns = 4
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			got, err := stranger(addr, n/conns)
			if err != nil {
				t.Errorf("attack: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			for status, n := range got {
				statuses[status] += n
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// stranger sends n requests on one connection, and returns how often each status was the answer.
func stranger(addr string, n int) (map[int]int, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	requests := make(chan madeUp, 100)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close() // ends the sender, where the answers ended early
	wg.Go(func() {
		defer close(requests)
		w := bufio.NewWriter(conn)
		for range n {
			r := makeUp()
			if _, err := w.WriteString(r.text); err != nil {
				return
			}
			requests <- r
		}
		_ = w.Flush() // the answers tell
	})
	statuses := map[int]int{}
	answers := bufio.NewReader(conn)
	for r := range requests {
		status, err := r.readAnswer(answers)
		if err != nil {
			for range requests {
			}
			return statuses, fmt.Errorf("%w after %q", err, r.text)
		}
		statuses[status]++
	}
	return statuses, nil
}

// madeUp is a request that nobody has sent before.
type madeUp struct {
	method, id string // id is the correlation ID
	text       string
}

func makeUp() madeUp {
	noise := fmt.Sprintf("%016x", rand.Uint64())
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "M" + noise}
	paths := []string{
		"/" + noise, "/orders/" + noise, "/orders/" + noise + "/", "//" + noise, "/../" + noise, "/%ff" + noise,
		"/\xc0\xaf" + noise, "/orders?q=" + noise, "/" + noise + "/" + strings.Repeat("x", 1000),
	}
	ids := []string{noise, noise + "\xff", strings.Repeat(noise, 10), noise + ` "`, "a\t" + noise}
	pick := func(of []string) string { return of[rand.IntN(len(of))] }
	m := madeUp{method: pick(methods), id: pick(ids)}
	m.text = m.method + " " + pick(paths) + " HTTP/1.1\r\nHost: " + noise + ".example\r\n" +
		correlation.Header + ": " + m.id + "\r\nUser-Agent: " + noise + "\r\nX-" + noise + ": " + noise + "\r\n" +
		"Traceparent: 00-" + noise + noise + "-" + noise + "-" + pick([]string{"00", "01"}) + "\r\n\r\n"
	return m
}

// readAnswer returns the status, and an error where the server failed, or where the answer has not exactly one
// correlation ID that is valid: the request's own, where that is.
func (m madeUp) readAnswer(r *bufio.Reader) (int, error) {
	res, err := http.ReadResponse(r, &http.Request{Method: m.method})
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, err
	}
	ids := res.Header.Values(correlation.Header)
	ok := len(ids) == 1 && correlation.Valid(ids[0]) && (ids[0] == m.id) == correlation.Valid(m.id)
	if !ok || res.StatusCode >= 500 {
		return 0, fmt.Errorf("status %d with correlation IDs %q", res.StatusCode, ids)
	}
	return res.StatusCode, nil
}
