package correlation_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// serve answers with the ID that the handler saw.
func serve(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(correlation.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, correlation.FromContext(r.Context()))
	})))
	t.Cleanup(s.Close)
	return s
}

// send writes a request by hand: http.Client would refuse some of the values. It returns the ID that the handler saw,
// which must be valid and the one echoed.
func send(t *testing.T, s *httptest.Server, headers ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := append([]string{"GET / HTTP/1.1", "Host: h", "Connection: close"}, headers...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %d, %v; want 200", resp.StatusCode, err)
	}
	id := string(body)
	if echo := resp.Header.Values(correlation.Header); !slices.Equal(echo, []string{id}) {
		t.Errorf("echo: got %q, want %q once", echo, id)
	}
	if !correlation.Valid(id) {
		t.Errorf("got %q, want a valid ID", id)
	}
	return id
}

func TestHandler(t *testing.T) {
	s := serve(t)
	long := strings.Repeat("x", 128)

	for name, c := range map[string]struct {
		headers []string
		want    string // "" for a new one
	}{
		"AdoptsTheHeader":          {[]string{"X-Correlation-Id: c-1"}, "c-1"},
		"AdoptsItInAnyCase":        {[]string{"x-CORRELATION-id: c-1"}, "c-1"},
		"Adopts128Bytes":           {[]string{"X-Correlation-Id: " + long}, long},
		"AdoptsTheRequestID":       {[]string{"X-Request-Id: r-1"}, "r-1"},
		"PrefersTheCorrelationID":  {[]string{"X-Request-Id: r-1", "X-Correlation-Id: c-1"}, "c-1"},
		"MintsForNone":             {nil, ""},
		"MintsForTwo":              {[]string{"X-Correlation-Id: c-1", "X-Correlation-Id: c-2"}, ""},
		"MintsForTwoOfTheSame":     {[]string{"X-Correlation-Id: c-1", "X-Correlation-Id: c-1"}, ""},
		"MintsForTwoRequestIDs":    {[]string{"X-Request-Id: r-1", "X-Request-Id: r-2"}, ""},
		"MintsForAList":            {[]string{"X-Correlation-Id: c-1, c-2"}, ""},
		"MintsForABadRequestID":    {[]string{"X-Request-Id: a b"}, ""},
		"MintsThoughARequestIDFit": {[]string{"X-Correlation-Id: a b", "X-Request-Id: r-1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := send(t, s, c.headers...)
			if c.want != "" && got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.want == "" && strings.Contains(strings.Join(c.headers, "\n"), got) {
				t.Errorf("got %q, want a new ID", got)
			}
		})
	}

	for name, id := range hostile() {
		if strings.ContainsAny(id, "\n\x00") {
			continue // net/http refuses those by itself
		}
		t.Run("Replaces/"+name, func(t *testing.T) {
			if got := send(t, s, "X-Correlation-Id: "+id); id != "" && strings.Contains(id, got) {
				t.Errorf("got %q, want a new ID", got)
			}
		})
	}

	t.Run("KeepsTheOuterHandlersID", func(t *testing.T) {
		var outer, inner string
		h := correlation.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			outer = correlation.FromContext(r.Context())
			correlation.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				inner = correlation.FromContext(r.Context())
			})).ServeHTTP(w, r)
		}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if echo := w.Header().Values(correlation.Header); inner != outer || !slices.Equal(echo, []string{outer}) {
			t.Errorf("got inner %q, echo %q; want both %q", inner, echo, outer)
		}
	})

	t.Run("EchoesOneIDOnly", func(t *testing.T) {
		w := httptest.NewRecorder()
		w.Header()[correlation.Header] = []string{"someone's", "else's"}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set(correlation.Header, "c-1")
		correlation.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
		if got := w.Header().Values(correlation.Header); !slices.Equal(got, []string{"c-1"}) {
			t.Errorf("got %q, want c-1 once", got)
		}
	})

	t.Run("DoesNotBorrowTheIDOfTheBaseContext", func(t *testing.T) {
		ctx := correlation.NewContext(t.Context(), "of-the-process")
		w := httptest.NewRecorder()
		correlation.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		if got := w.Header().Get(correlation.Header); got == "of-the-process" {
			t.Errorf("got %q, want a new ID", got)
		}
	})

	t.Run("NeverMixesRequests", func(t *testing.T) {
		client := &http.Client{Transport: &correlation.Transport{Base: s.Client().Transport}}
		var wg sync.WaitGroup
		for worker := range 20 {
			wg.Go(func() {
				for i := range 50 {
					want := strconv.Itoa(worker) + "-" + strconv.Itoa(i)
					ctx := correlation.NewContext(t.Context(), want)
					r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
					if err != nil {
						t.Error(err)
						return
					}
					resp, err := client.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					got, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if string(got) != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestTrust(t *testing.T) {
	asked := 0
	trust := correlation.Trust(func(r *http.Request) bool {
		asked++
		return r.RemoteAddr == "10.0.0.1:1"
	})
	// serve returns the ID that the handler saw, which must be the one that is echoed.
	serve := func(t *testing.T, h func(http.Handler) http.Handler, from, header string) string {
		t.Helper()
		var id string
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = from
		r.Header.Set(header, "c-1")
		h(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			id = correlation.FromContext(r.Context())
		})).ServeHTTP(w, r)
		if echo := w.Header().Values(correlation.Header); !slices.Equal(echo, []string{id}) || !correlation.Valid(id) {
			t.Errorf("got %q, echo %q; want one valid ID, echoed once", id, echo)
		}
		return id
	}

	for _, header := range []string{correlation.Header, correlation.RequestHeader} {
		if got := serve(t, trust.Handler, "10.0.0.1:1", header); got != "c-1" {
			t.Errorf("%s of a trusted caller: got %q, want c-1", header, got)
		}
		if got := serve(t, trust.Handler, "192.0.2.1:1", header); got == "c-1" {
			t.Errorf("%s of a stranger: got %q, want a new ID", header, got)
		}
		if got := serve(t, correlation.Trust(nil).Handler, "192.0.2.1:1", header); got != "c-1" {
			t.Errorf("%s and a nil Trust: got %q, want c-1", header, got)
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times, want once for each of 4 requests", asked)
	}

	t.Run("IsNotAskedAgainInside", func(t *testing.T) {
		twice := func(next http.Handler) http.Handler { return correlation.Handler(trust.Handler(next)) }
		asked = 0
		if got := serve(t, twice, "192.0.2.1:1", correlation.Header); got != "c-1" || asked != 0 {
			t.Errorf("got %q, asked %d times; want what the outer Handler adopted, not asked", got, asked)
		}
	})
}

// recorder is a RoundTripper that keeps the request as it was sent.
type recorder struct{ sent *http.Request }

func (rec *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	rec.sent = r
	return nil, errors.New("not sent")
}

func TestTransport(t *testing.T) {
	t.Run("SendsTheContextsIDAndLeavesTheRequest", func(t *testing.T) {
		rec := &recorder{}
		ctx := correlation.NewContext(t.Context(), "c-1")
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://h/", nil)
		r.Header[correlation.Header] = []string{"stale-1", "stale-2"}
		r.Header.Set("Accept", "text/plain")
		_, _ = (&correlation.Transport{Base: rec}).RoundTrip(r)
		if got := rec.sent.Header.Values(correlation.Header); !slices.Equal(got, []string{"c-1"}) {
			t.Errorf("sent: got %q, want c-1 once", got)
		}
		if got := rec.sent.Header.Get("Accept"); got != "text/plain" {
			t.Errorf("another header: got %q, want it kept", got)
		}
		if got := r.Header.Values(correlation.Header); !slices.Equal(got, []string{"stale-1", "stale-2"}) {
			t.Errorf("the caller's request: got %q, want it untouched", got)
		}
	})

	t.Run("SendsARequestWithoutHeaders", func(t *testing.T) {
		rec := &recorder{}
		r := (&http.Request{}).WithContext(correlation.NewContext(t.Context(), "c-1"))
		_, _ = (&correlation.Transport{Base: rec}).RoundTrip(r)
		if got := rec.sent.Header.Get(correlation.Header); got != "c-1" {
			t.Errorf("got %q, want c-1", got)
		}
	})

	t.Run("SendsARequestWithoutAnIDAsItIs", func(t *testing.T) {
		rec := &recorder{}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/", nil)
		_, _ = (&correlation.Transport{Base: rec}).RoundTrip(r)
		if rec.sent != r || len(r.Header) != 0 {
			t.Errorf("got %v with %v, want the request itself", rec.sent, rec.sent.Header)
		}
	})

	t.Run("UsesTheDefaultTransportForNil", func(t *testing.T) {
		s := serve(t)
		client := &http.Client{Transport: &correlation.Transport{}}
		r, _ := http.NewRequestWithContext(correlation.NewContext(t.Context(), "c-1"), http.MethodGet, s.URL, nil)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get(correlation.Header); got != "c-1" {
			t.Errorf("got %q, want c-1", got)
		}
	})

	t.Run("SendsAMessagesHostileIDAsANewOne", func(t *testing.T) {
		s := serve(t)
		ctx := correlation.Extract(t.Context(), attributes{correlation.Key: "abc\r\nX-Evil: 1"})
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		resp, err := (&http.Client{Transport: &correlation.Transport{}}).Do(r)
		if err != nil {
			t.Fatalf("the call: got %v, want it to succeed", err)
		}
		defer resp.Body.Close()
		if got, want := resp.Header.Get(correlation.Header), correlation.FromContext(ctx); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func FuzzFromHeader(f *testing.F) {
	f.Add("c-1", "", "r-1")
	f.Add("a b", "c-1", "")
	f.Fuzz(func(t *testing.T, first, second, request string) {
		h := http.Header{correlation.RequestHeader: {request}}
		if got := correlation.FromHeader(h); !correlation.Valid(got) || (correlation.Valid(request) && got != request) {
			t.Errorf("FromHeader(%q): got %q", h, got)
		}
		h[correlation.Header] = []string{first}
		if got := correlation.FromHeader(h); !correlation.Valid(got) || (correlation.Valid(first) && got != first) {
			t.Errorf("FromHeader(%q): got %q", h, got)
		}
		h[correlation.Header] = []string{first, second}
		if got := correlation.FromHeader(h); !correlation.Valid(got) || got == first || got == second {
			t.Errorf("FromHeader(%q): got %q, want a new ID", h, got)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	for name, header := range map[string]http.Header{
		"Adopted": {correlation.Header: {correlation.New()}},
		"Minted":  {},
	} {
		b.Run(name, func(b *testing.B) {
			h := correlation.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil)
			r.Header = header
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkTransport(b *testing.B) {
	rt := &correlation.Transport{Base: &recorder{}}
	r, _ := http.NewRequestWithContext(correlation.NewContext(b.Context(), "c-1"), http.MethodGet, "http://h/", nil)
	r.Header.Set("Accept", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = rt.RoundTrip(r)
	}
}
