package httpserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// raw sends text on a connection of its own and returns all that comes back until the server closes it.
func raw(t *testing.T, url, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("after %q: %v, want a closed connection", answer, err)
	}
	return string(answer)
}

// TestARequestOfTwoLengthsIsRefused holds what a proxy that reads a request otherwise relies on: no handler sees a second
// one in its body (RFC 9112, 11.2).
func TestARequestOfTwoLengthsIsRefused(t *testing.T) {
	const hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, header := range map[string]string{
		"TwoContentLengths":        "Content-Length: 0\r\nContent-Length: 54\r\n",
		"ASignedContentLength":     "Content-Length: +0\r\n",
		"AnUnknownCoding":          "Transfer-Encoding: xchunked\r\n",
		"TwoCodings":               "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"ASpaceBeforeTheColon":     "Transfer-Encoding : chunked\r\n",
		"ANameWithAControl":        "Transfer\x00-Encoding: chunked\r\n",
		"ALineThatIsFoldedAtFirst": " Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			obs := newObserved()
			var mu sync.Mutex
			var paths []string
			url, _ := start(t, httpserver.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				paths = append(paths, r.URL.Path)
			}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
			answer := raw(t, url, "POST /outer HTTP/1.1\r\nHost: x\r\n"+header+"\r\n0\r\n\r\n"+hidden)
			status, _, _ := strings.Cut(strings.TrimPrefix(answer, "HTTP/1.1 "), " ")
			if status != "400" && status != "501" || strings.Count(answer, "HTTP/1.1 ") != 1 {
				t.Errorf("answer %q, want one refusal", answer)
			}
			mu.Lock()
			defer mu.Unlock()
			if paths != nil {
				t.Errorf("handlers were called for %q, want none", paths)
			}
		})
	}
}

// TestABodyThatSaysItIsTooLongIsNotAskedFor: the client that waits for "100 Continue" gets its 413 instead.
func TestABodyThatSaysItIsTooLongIsNotAskedFor(t *testing.T) {
	url, _ := start(t, httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	}), newObserved().server(httpserver.Options{Addr: "127.0.0.1:0", MaxBody: 1000})))
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // before ReadTimeout
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
		t.Errorf("status %d, close %t, want 413 and the end of the connection", resp.StatusCode, resp.Close)
	}
	answer := raw(t, url, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	if !strings.HasPrefix(answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ") {
		t.Errorf("answer %q, want 100 and 200", answer)
	}
}

func TestAPanicAfterATakeoverIsOne500(t *testing.T) {
	obs := newObserved()
	url, stop := start(t, httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		panic("over")
	}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
	if answer := raw(t, url, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); answer != "HTTP/1.1 101 Switching Protocols\r\n\r\n" {
		t.Errorf("answer %q, want the handler's own and no more", answer)
	}
	if err := stop(); err != nil {
		t.Errorf("the drain: %v", err)
	}
	if got := obs.series(t)["GET  500"]; got != 1 || obs.active(t) != 0 {
		t.Errorf("series %v, %v active, want one 500 and none", obs.series(t), obs.active(t))
	}
	if line := obs.lines(t)[0]; line["panic"] != "over" || line["level"] != "ERROR" {
		t.Errorf("line %v, want the panic", line)
	}
}

func TestWhatSurroundsABodyPassesThrough(t *testing.T) {
	obs := newObserved()
	url, _ := start(t, httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", "42")
	}), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
	get := raw(t, url, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(get, "HTTP/1.1 103 ") || strings.Count(get, "\r\nHTTP/1.1 200 ") != 1 || !strings.HasSuffix(get, "\r\nX-Sum: 42\r\n\r\n") {
		t.Errorf("GET: %q, want 103, 200 and the trailer", get)
	}
	head := raw(t, url, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Contains(head, "body") || !strings.HasSuffix(head, "\r\n\r\n") {
		t.Errorf("HEAD: %q, want no body", head)
	}
	if got := obs.series(t); got["GET  200"] != 1 || got["HEAD  200"] != 1 {
		t.Errorf("series %v, want a 200 each", got)
	}
}

// TestRequestsThatAreTakenBackLeaveNothing has an HTTP/2 client that resets its streams as fast as it opens them.
func TestRequestsThatAreTakenBackLeaveNothing(t *testing.T) {
	obs := newObserved()
	s := httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/waits" {
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, "hello")
	}), obs.server(httpserver.Options{Addr: "127.0.0.1:0", Protocols: cleartext(), LogEvery: -1}))
	url, stop := start(t, s)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				r, err := http.NewRequestWithContext(ctx, "GET", url+"/waits", nil)
				if err == nil {
					if resp, err := client.Do(r); err == nil {
						resp.Body.Close()
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if resp, body := send(t, client, request(t, "GET", url, nil)); resp.StatusCode != 200 || body != "hello" {
		t.Errorf("afterwards: %d %q, want the answer", resp.StatusCode, body)
	}
	if err := stop(); err != nil {
		t.Errorf("the drain: %v", err)
	}
	if obs.active(t) != 0 || obs.errorLines(t) != 0 {
		t.Errorf("%v active, %d error lines, want none", obs.active(t), obs.errorLines(t))
	}
	if got := obs.series(t); len(got) != 2 || got["GET  200"] != 1 || got["GET  499"] == 0 {
		t.Errorf("series %v, want one 200 and 499 for the rest", got)
	}
}
