package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type tagged struct {
	Tags []string `query:"tag" maxItems:"3"`
	Name string   `json:"name" maxLength:"9"`
}

// attacked serves what the attacks are on, and returns its address and what the handlers of POST /tagged got.
func attacked(t *testing.T) (addr string, got <-chan tagged) {
	t.Helper()
	mux, reached := http.NewServeMux(), make(chan tagged, 10)
	httpapi.Handle(mux, httpapi.NewEndpoint[tagged, tagged]("POST /tagged", public),
		func(_ context.Context, r tagged) (tagged, error) { reached <- r; return r, nil })
	httpapi.Handle(mux, httpapi.NewEndpoint[thing, struct{}]("POST /internal", nil),
		func(context.Context, thing) (struct{}, error) {
			t.Error("a stranger was let in")
			return struct{}{}, nil
		})
	httpapi.Handle(mux, httpapi.NewEndpoint[struct{}, thing]("GET /thing", public),
		func(context.Context, struct{}) (thing, error) { return thing{"n"}, nil })
	httpapi.Handle(mux, httpapi.NewEndpoint[upload, struct{}]("POST /books", public),
		func(context.Context, upload) (struct{}, error) { t.Error("the form was taken"); return struct{}{}, nil })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String(), reached
}

// wire sends the pieces one after the other, each in a packet of its own, and returns the connection.
func wire(t *testing.T, addr string, pieces ...string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	for _, p := range pieces {
		if _, err := io.WriteString(conn, p); err != nil {
			t.Fatal(err)
		}
	}
	return conn, bufio.NewReader(conn)
}

// answer reads the answer to a request of that method.
func answer(t *testing.T, r *bufio.Reader, method string) (status int, header http.Header, body string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

const postJSON = "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

func TestAttacks(t *testing.T) {
	addr, got := attacked(t)
	t.Run("ABodyInChunksOfOneByteIsOneBody", func(t *testing.T) {
		pieces := []string{fmt.Sprintf(postJSON, "/tagged"), "Transfer-Encoding: chunked\r\n\r\n"}
		for _, c := range `{"name":"ü"}` {
			pieces = append(pieces, fmt.Sprintf("%x\r\n%c\r\n", len(string(c)), c))
		}
		_, r := wire(t, addr, append(pieces, "0\r\n\r\n")...)
		if status, _, body := answer(t, r, "POST"); status != 200 || (<-got).Name != "ü" {
			t.Errorf("status %d: %s, want 200", status, body)
		}
	})
	t.Run("AnEmptyBodyInChunksIsNone", func(t *testing.T) {
		_, r := wire(t, addr, "POST /tagged HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		if status, _, body := answer(t, r, "POST"); status != 200 || (<-got).Name != "" {
			t.Errorf("status %d: %s, want 200", status, body)
		}
	})
	t.Run("NobodyIsAskedForABodyThatIsRefused", func(t *testing.T) {
		_, r := wire(t, addr, fmt.Sprintf(postJSON, "/internal"), "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
		if status, _, body := answer(t, r, "POST"); status != 401 {
			t.Errorf("status %d: %s, want 401 before the body", status, body)
		}
	})
	t.Run("WhoWaitsIsAskedForTheBody", func(t *testing.T) {
		conn, r := wire(t, addr, fmt.Sprintf(postJSON, "/tagged"), "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
		if line, err := r.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 100 ") {
			t.Fatalf("got %q, %v, want 100", line, err)
		}
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(conn, "{}")
		if status, _, body := answer(t, r, "POST"); status != 200 {
			t.Errorf("status %d: %s, want 200", status, body)
		}
		<-got
	})
	t.Run("ABodyThatBreaksOffReachesNoHandler", func(t *testing.T) {
		conn, r := wire(t, addr, fmt.Sprintf(postJSON, "/tagged"), "Content-Length: 100\r\n\r\n", `{"name":"a"}`)
		_ = conn.(*net.TCPConn).CloseWrite()
		if status, _, body := answer(t, r, "POST"); status != 400 && status != 499 {
			t.Errorf("status %d: %s, want 400 or 499", status, body)
		}
		if len(got) > 0 {
			t.Errorf("the handler got %+v", <-got)
		}
	})
	for _, tt := range []struct {
		name, path, header, body string
		status                   int
		said                     string // in the answer
	}{
		{"AnotherMediaTypeBehindTheFirst", "/tagged", "Content-Type: text/plain", "{}", 415, "application/json"},
		{"TheSameMediaTypeTwice", "/tagged", "Content-Type: application/json", "{}", 415, "application/json"},
		{"AThousandValues", "/tagged?" + strings.Repeat("tag=1&", 1000), "X: y", "{}", 400, "must have at most 3 items"},
		{"AParameterWithoutAName", "/tagged?=1&&&=&tag", "X: y", "{}", 200, ""},
		{"ASemicolonInTheQuery", "/tagged?a=1;tag=2", "X: y", "{}", 400, "the query is malformed"},
		{"TrailingData", "/tagged", "X: y", `{"name":"a"}]`, 400, "not valid JSON, at byte 13"},
		{"AByteOrderMark", "/tagged", "X: y", "\ufeff{}", 400, "not valid JSON, at byte 1"},
		{"UTF16", "/tagged", "X: y", "\xff\xfe{\x00}\x00", 400, "it is not UTF-8"},
		{"HalfACharacter", "/tagged", "X: y", "{\"name\":\"\xe2\x82\"}", 400, "it is not UTF-8"},
		{"AnEncodedBody", "/tagged", "Content-Encoding: gzip", "\x1f\x8b\x08", 400, "it is not UTF-8"},
		{"TenCharactersInEscapes", "/tagged", "X: y", `{"name":"` + strings.Repeat(`\u00e4`, 10) + `"}`, 400, "/name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r := wire(t, addr, fmt.Sprintf(postJSON, tt.path), tt.header+"\r\n",
				fmt.Sprintf("Content-Length: %d\r\n\r\n", len(tt.body)), tt.body)
			status, _, body := answer(t, r, "POST")
			if status != tt.status || !strings.Contains(body, tt.said) {
				t.Errorf("status %d: %s, want %d and %q", status, body, tt.status, tt.said)
			}
			if status == 200 {
				<-got
			}
		})
	}
	t.Run("ContentTypesWithParameters", func(t *testing.T) {
		for contentType, want := range map[string]int{
			"application/json; charset=utf-8": 200, "Application/JSON;x=y": 200, "application/problem+json": 200,
			"application/jsonx": 415, "application/json; charset": 415, "": 415, ";": 415, "json": 415,
		} {
			r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/tagged", strings.NewReader("{}"))
			r.Header.Set("Content-Type", contentType)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%q: status %d, want %d", contentType, resp.StatusCode, want)
			}
			if resp.StatusCode == 200 {
				<-got
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Run("HeadIsGetWithoutABody", func(t *testing.T) {
		_, r := wire(t, addr, "HEAD /thing HTTP/1.1\r\nHost: x\r\n\r\n")
		status, header, body := answer(t, r, "HEAD")
		if status != 200 || body != "" || header.Get("Content-Length") != "13" ||
			header.Get("Content-Type") != "application/json" {
			t.Errorf("status %d, %v, %q, want the header of GET alone", status, header, body)
		}
	})
	t.Run("OptionsAreNoEndpoints", func(t *testing.T) {
		_, r := wire(t, addr, "OPTIONS /thing HTTP/1.1\r\nHost: x\r\n\r\n")
		if status, header, _ := answer(t, r, "OPTIONS"); status != 405 || header.Get("Allow") != "GET, HEAD" {
			t.Errorf("status %d, Allow %q, want 405 and GET, HEAD", status, header.Get("Allow"))
		}
	})
	t.Run("AFormOfTooManyParts", func(t *testing.T) {
		part := "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nt\r\n"
		body := strings.Repeat(part, 2000) + "--x--\r\n"
		_, r := wire(t, addr, "POST /books HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n",
			fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)), body)
		if status, _, body := answer(t, r, "POST"); status != 413 || !strings.Contains(body, "too many parts") {
			t.Errorf("status %d: %s, want 413 and why", status, body)
		}
	})
}

// TestCallerLeavesAStream: the handler learns of it, whether it waits or sends.
func TestCallerLeavesAStream(t *testing.T) {
	s := httpapi.NewStream[struct{}, int]("GET /n", &httpapi.StreamOptions{Access: transport.Public})
	for name, f := range map[string]func(ctx context.Context, send func(int) error) error{
		"waits": func(ctx context.Context, _ func(int) error) error { <-ctx.Done(); return ctx.Err() },
		"sends": func(_ context.Context, send func(int) error) (err error) {
			for err == nil {
				err = send(2)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			mux := http.NewServeMux()
			httpapi.HandleStream(mux, s, func(ctx context.Context, _ struct{}, send func(int) error) error {
				err := send(1)
				if err == nil {
					err = f(ctx, send)
				}
				ended <- err
				return err
			})
			srv := httptest.NewServer(mux)
			defer srv.Close()
			conn, r := wire(t, srv.Listener.Addr().String(), "GET /n HTTP/1.1\r\nHost: x\r\n\r\n")
			if line, err := r.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200") {
				t.Fatalf("got %q, %v, want 200", line, err)
			}
			_ = conn.Close()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("the handler ended without an error")
				}
			case <-time.After(30 * time.Second):
				t.Error("the handler goes on after 30s")
			}
		})
	}
}
