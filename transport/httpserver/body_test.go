package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// TestServerBody sends one byte too much, both ways.
func TestServerBody(t *testing.T) {
	const limit = 1 << 20
	var readError atomic.Value
	mux := http.NewServeMux()
	mux.HandleFunc("POST /plain", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			readError.Store(err)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		fmt.Fprint(w, n)
	})
	obs := newObserved()
	url, _ := start(t, httpserver.New(mux, obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))

	for _, tt := range []struct {
		name    string
		size    int
		chunked bool
		status  int
	}{
		{"AtTheLimit", limit, false, 200},
		{"AtTheLimitChunked", limit, true, 200},
		{"OverTheLimit", limit + 1, false, 413},
		{"OverTheLimitChunked", limit + 1, true, 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r := request(t, "POST", url+"/plain", strings.NewReader(strings.Repeat("x", tt.size)))
			if tt.chunked {
				r.ContentLength = -1
			}
			go func() { _ = r.Write(conn) }()
			br := bufio.NewReader(conn)
			resp, err := http.ReadResponse(br, r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != tt.status || resp.Close != (tt.status == 413) {
				t.Errorf("status %d, close %t, want %d", resp.StatusCode, resp.Close, tt.status)
			}
			if tt.status == 413 {
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := br.ReadByte(); errors.Is(err, context.DeadlineExceeded) || err == nil {
					t.Errorf("the connection stays: %v", err)
				}
			}
		})
	}
	if err, ok := readError.Load().(*http.MaxBytesError); !ok || err.Limit != limit {
		t.Errorf("the handler saw %v, want a MaxBytesError of %d", err, limit)
	}
	if got := obs.series(t)["POST /plain 413"]; got != 2 {
		t.Errorf("%d samples of 413, want 2: %v", got, obs.series(t))
	}
}

// TestServerBodyOfAnEndpoint shows that an endpoint's own limit replaces the server's, whichever is larger.
func TestServerBodyOfAnEndpoint(t *testing.T) {
	type in struct {
		S string `json:"s"`
	}
	mux := http.NewServeMux()
	for path, limit := range map[string]int64{"/default": 0, "/large": 4000, "/small": 100, "/none": -1} {
		e := httpapi.NewEndpoint[in, int]("POST "+path, &httpapi.EndpointOptions{MaxBody: limit})
		httpapi.Handle(mux, e, func(_ context.Context, r in) (int, error) { return len(r.S), nil })
	}
	obs := newObserved()
	url, _ := start(t, httpserver.New(mux, obs.server(httpserver.Options{Addr: "127.0.0.1:0", MaxBody: 1000})))
	for _, tt := range []struct {
		path   string
		size   int
		status int
	}{
		{"/default", 900, 200}, {"/default", 1000, 413}, {"/large", 3900, 200}, {"/large", 4000, 413},
		{"/small", 90, 200}, {"/small", 100, 413}, {"/none", 9000, 200},
	} {
		r := request(t, "POST", url+tt.path, strings.NewReader(`{"s":"`+strings.Repeat("x", tt.size)+`"}`))
		r.Header.Set("Content-Type", "application/json")
		resp, body := send(t, newClient(t), r)
		if resp.StatusCode != tt.status || resp.Close != (tt.status == 413) {
			t.Errorf("%d bytes to %s: %d, close %t, want %d: %s", tt.size, tt.path, resp.StatusCode, resp.Close, tt.status, body)
		}
		if tt.status == 413 && !strings.Contains(body, `"status":413`) {
			t.Errorf("%s: body %s, want a problem", tt.path, body)
		}
	}
	if got := obs.series(t)["POST /large 413"]; got != 1 {
		t.Errorf("%d samples of 413 for /large, want 1", got)
	}
}
