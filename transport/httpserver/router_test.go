package httpserver_test

import (
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func TestTheMuxsOwnAnswersAreProblems(t *testing.T) {
	inner := http.NewServeMux()
	inner.HandleFunc("GET /api/known", func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("/api/", inner)
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such user", http.StatusNotFound) })
	mux.HandleFunc("PUT /users/{id}", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not now", http.StatusMethodNotAllowed)
	})
	layers := httpserver.RateLimit(resilience.NewLimiter(nil), nil)(httpserver.SecureHeaders(nil)(mux))
	const problem, text = transport.ContentTypeProblem, "text/plain; charset=utf-8"
	for name, h := range map[string]http.Handler{"Alone": mux, "BehindLayers": layers} {
		t.Run(name, func(t *testing.T) {
			obs := newObserved()
			url, _ := start(t, httpserver.New(h, obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
			c := newClient(t)
			for _, want := range []struct {
				method, path       string
				status             int
				kind, allow, holds string
			}{
				{"GET", "/nowhere", 404, problem, "", `"code":"not_found"`},
				{"GET", "/api/nowhere", 404, problem, "", `"status":404`},
				{"DELETE", "/users/1", 405, problem, "GET, HEAD, PUT", `"code":"unimplemented"`},
				{"POST", "/api/known", 405, problem, "GET, HEAD", `"title":"Method Not Allowed"`},
				{"GET", "/users/1", 404, text, "", "no such user\n"},
				{"PUT", "/users/1", 405, text, "", "not now\n"},
			} {
				resp, body := send(t, c, request(t, want.method, url+want.path, nil))
				if resp.StatusCode != want.status || resp.Header.Get("Content-Type") != want.kind ||
					resp.Header.Get("Allow") != want.allow || !strings.Contains(body, want.holds) {
					t.Errorf("%s %s: %d %v %q, want %+v", want.method, want.path, resp.StatusCode, resp.Header, body, want)
				}
				if want.kind == problem && strings.Contains(body, "page not found") {
					t.Errorf("%s %s: the mux's text is left: %q", want.method, want.path, body)
				}
			}
			if resp, body := send(t, c, request(t, "HEAD", url+"/nowhere", nil)); resp.StatusCode != 404 || body != "" {
				t.Errorf("HEAD: %d, %q", resp.StatusCode, body)
			}
			reused := false
			r := request(t, "GET", url+"/nowhere", nil)
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
			}))
			for range 2 {
				send(t, c, r)
			}
			if !reused {
				t.Error("the connection ends with the answer")
			}
			if n := obs.series(t)["DELETE  405"]; n != 1 {
				t.Errorf("%d counted as 405 without a route, want 1", n)
			}
		})
	}
}

func TestSecureHeaders(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Frame-Options", "SAMEORIGIN") })
	get := func(o *httpserver.SecureHeadersOptions, url string) http.Header {
		return serve(httpserver.SecureHeaders(o)(handler), request(t, "GET", url, nil)).Header()
	}
	h := get(nil, "http://x/")
	for name, want := range map[string]string{
		"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "SAMEORIGIN", // the handler's word
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security":    "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := get(&httpserver.SecureHeadersOptions{BehindTLS: true}, "http://x/").Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("behind TLS: %q, want a year", got)
	}
	off := &httpserver.SecureHeadersOptions{BehindTLS: true, HSTS: -1, ContentSecurityPolicy: "default-src 'self'"}
	if h := get(off, "http://x/"); h.Get("Strict-Transport-Security") != "" || h.Get("Content-Security-Policy") != "default-src 'self'" {
		t.Errorf("switched off: %v", h)
	}
}
