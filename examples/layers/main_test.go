package main

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m, main) }

func do(t *testing.T, method, url string, header map[string]string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestEachLayerHasItsPlace(t *testing.T) {
	url := exampletest.Start(t).URL
	token := map[string]string{"Authorization": "Bearer ada", "Origin": origin, "Sec-Fetch-Site": "cross-site"}
	for _, c := range []struct {
		name, method, path string
		header             map[string]string
		status             int
		want               map[string]string // "" is absent
	}{
		{"APreflightNeedsNoToken", "OPTIONS", "/orders",
			map[string]string{"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"},
			204, map[string]string{"Access-Control-Allow-Origin": origin}},
		{"ARefusalIsReadable", "GET", "/report", map[string]string{"Origin": origin},
			401, map[string]string{"Access-Control-Allow-Origin": origin, "X-Content-Type-Options": "nosniff"}},
		{"AStrangersOriginMayNotRead", "GET", "/report", map[string]string{"Origin": "https://evil.example", "Authorization": "Bearer ada"},
			200, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"AStrangersOriginMayNotWrite", "POST", "/orders",
			map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Authorization": "Bearer ada"},
			403, map[string]string{"Ratelimit": "", "Vary": "Origin"}},
		{"OursMay", "POST", "/orders", token, 202, map[string]string{"Access-Control-Expose-Headers": "Ratelimit, Retry-After"}},
		{"LargeAnswersAreCompressed", "GET", "/report", token, 200, map[string]string{"Content-Encoding": "gzip"}},
		{"ProbesNeedNoToken", "GET", "/livez", nil, 200, map[string]string{"Ratelimit": ""}},
		{"NoRouteIsAProblem", "GET", "/nowhere", token, 404, map[string]string{"Content-Type": "application/problem+json"}},
		{"NorIsTheMethod", "DELETE", "/report", token, 405, map[string]string{"Content-Type": "application/problem+json", "Allow": "GET, HEAD"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := do(t, c.method, url+c.path, c.header)
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d: %v", resp.StatusCode, c.status, resp.Header)
			}
			for name, want := range c.want {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if resp.Header.Get("X-Correlation-Id") == "" {
				t.Error("the answer has no correlation ID")
			}
		})
	}
}

func TestTheQuotaIsTheCallers(t *testing.T) {
	url := exampletest.Start(t).URL
	header := map[string]string{"Authorization": "Bearer ada", "Origin": origin}
	for range 10 {
		if resp := do(t, "GET", url+"/report", header); resp.StatusCode != 200 {
			t.Fatalf("within the quota: status %d", resp.StatusCode)
		}
	}
	resp := do(t, "GET", url+"/report", header)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("past the quota: %d %v, want a readable 429 with Retry-After", resp.StatusCode, resp.Header)
	}
	if resp := do(t, "GET", url+"/livez", nil); resp.StatusCode != 200 {
		t.Errorf("a probe: status %d, want 200", resp.StatusCode)
	}
}

func TestEventsArriveThroughAllLayers(t *testing.T) {
	url := exampletest.Start(t).URL
	resp := do(t, "GET", url+"/events", map[string]string{"Authorization": "Bearer ada", "Accept-Encoding": "identity"})
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil && err != io.EOF || strings.TrimSpace(line) != "data: hello" {
		t.Errorf("got %q, %v, want the first event while the stream is open", line, err)
	}
}
