package httpclient_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

func TestLimitResponse(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/10":
			_, _ = w.Write(make([]byte, 10))
		case "/11":
			_, _ = w.Write(make([]byte, 11))
		case "/11chunked":
			_, _ = w.Write(make([]byte, 10))
			w.(http.Flusher).Flush()
			_, _ = w.Write(make([]byte, 1))
		case "/10chunked":
			_, _ = w.Write(make([]byte, 10))
			w.(http.Flusher).Flush()
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}
	}))
	defer srv.Close()
	for _, tt := range []struct {
		path  string
		limit int64
		bytes int
		large bool
	}{
		{"/10", 10, 10, false}, {"/10chunked", 10, 10, false}, {"/10", math.MaxInt64, 10, false}, {"/", 0, 0, false},
		{"/11", 10, 0, true}, {"/11chunked", 10, 10, true}, {"/bomb", 1000, 1000, true}, {"/10chunked", 0, 0, true},
	} {
		client := &http.Client{Transport: httpclient.LimitResponse(tt.limit)(httpclient.NewPool(nil))}
		resp, err := client.Get(srv.URL + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(iotest.OneByteReader(resp.Body))
		if len(b) != tt.bytes || errors.Is(err, httpclient.ErrResponseTooLarge) != tt.large || !tt.large && err != nil {
			t.Errorf("%s, limit %d: %d bytes, %v; want %d, too large %t", tt.path, tt.limit, len(b), err, tt.bytes, tt.large)
		}
		if _, again := resp.Body.Read(make([]byte, 1)); tt.large && !errors.Is(again, httpclient.ErrResponseTooLarge) {
			t.Errorf("%s: read again: %v, want the same error", tt.path, again)
		}
		resp.Body.Close()
		client.CloseIdleConnections()
	}
}

func TestClientLimitsResponses(t *testing.T) {
	long := tripper(func(r *http.Request) (*http.Response, error) {
		body := io.NopCloser(strings.NewReader(strings.Repeat("x", 100)))
		return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
	})
	for limit, want := range map[int64]int{10: 10, 0: 100, -1: 100} {
		c := httpclient.New("http://users", &httpclient.Options{
			Base: long, MaxResponse: limit, Registerer: prometheus.NewRegistry(),
		})
		resp, err := c.Do(request(t, t.Context(), "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); len(b) != want || (err != nil) != (want < 100) {
			t.Errorf("MaxResponse %d: %d bytes, %v; want %d", limit, len(b), err, want)
		}
		resp.Body.Close()
	}
}

// TestASwitchedConnectionStaysOne goes through every layer: net/http promises an io.ReadWriteCloser.
func TestASwitchedConnectionStaysOne(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("echo " + line)
		_ = rw.Flush()
	}))
	defer srv.Close()
	c := httpclient.New(srv.URL, &httpclient.Options{
		MaxResponse: 1, Policy: quick(noRetry), Registerer: prometheus.NewRegistry(),
	})
	r := request(t, t.Context(), "GET", "/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w, ok := resp.Body.(io.Writer)
	if !ok || httpclient.Check(resp) != nil {
		t.Fatalf("status %d, a body of %T, want 101 and an io.Writer", resp.StatusCode, resp.Body)
	}
	fmt.Fprintln(w, "hello")
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "echo hello\n" {
		t.Errorf("got %q, %v; want echo hello", line, err)
	}
}

func TestAnEndpointsOwnLimitIsTheLimit(t *testing.T) {
	type text struct {
		Text string `json:"text"`
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"text":%q}`, strings.Repeat("x", 1000))
	}))
	defer srv.Close()
	c := httpclient.New(srv.URL, &httpclient.Options{MaxResponse: 100, Registerer: prometheus.NewRegistry()})
	defer c.CloseIdleConnections()
	for name, tt := range map[string]struct {
		limit int64
		fits  bool
	}{"Larger": {2000, true}, "None": {-1, true}, "TheClients": {0, false}, "Smaller": {50, false}} {
		t.Run(name, func(t *testing.T) {
			e := httpapi.NewEndpoint[struct{}, text]("GET /", &httpapi.EndpointOptions{MaxResponse: tt.limit})
			got, err := e.Call(t.Context(), c, struct{}{})
			if (err == nil) != tt.fits || tt.fits && len(got.Text) != 1000 {
				t.Errorf("got %d characters, %v; want all of them: %v", len(got.Text), err, tt.fits)
			}
		})
	}
}
