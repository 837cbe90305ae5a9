package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// FuzzHandler sends what no client of ours would: the answer is 200 or says what is wrong, and what a handler got can
// be sent again to the same effect.
func FuzzHandler(f *testing.F) {
	f.Add("/things/1/2", "tag=a&limit=3&ratio=NaN", "acme", "application/json", `{"name":"n","items":[{"sku":"s"}]}`)
	f.Add("/things/%2e%2e/2", "since=2026-01-02T03:04:05Z", "", "application/x+json", `null`)
	f.Add("/things/\xff/-0", "a;b", "\xff", "", `[[[[`)
	f.Add("/things/a/1", "deep=1", " x", "application/json; charset=\xff", `{"meta":{"a":{}},"items":[null]}`)
	f.Fuzz(func(t *testing.T, path, query, tenant, contentType, body string) {
		var got *everything
		c := serve(echo, func(_ context.Context, r everything) (everything, error) {
			got = &r
			return r, nil
		})
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("X-Tenant", tenant)
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		c.h.ServeHTTP(rec, r)

		switch rec.Code {
		case 200, 400, 413, 415, 500: // 500: a result such as NaN, which JSON cannot express
		case 301, 307, 404: // the mux's own, which never reach the endpoint
			return
		default:
			t.Fatalf("status %d: %s", rec.Code, rec.Body)
		}
		if (rec.Code == 200) && got == nil {
			t.Fatal("a success without a handler")
		}
		if rec.Code != 200 || !sendable(got) {
			return
		}
		first := *got
		if _, err := echo.Call(t.Context(), c, first); err != nil {
			t.Fatalf("Call(%+v): %v", first, err)
		}
		first.Since, got.Since = first.Since.UTC(), got.Since.UTC()
		if !reflect.DeepEqual(*got, first) {
			t.Errorf("sent\n %#v, got\n %#v", first, *got)
		}
	})
}

// sendable leaves out what HTTP itself changes or refuses, and what JSON has two forms for.
func sendable(r *everything) bool {
	return r.ID != "." && r.ID != ".." && r.ID != "/" &&
		httpguts.ValidHeaderFieldValue(r.Tenant) && strings.TrimSpace(r.Tenant) == r.Tenant &&
		len(r.Items) > 0 == (r.Items != nil) && len(r.Meta) > 0 == (r.Meta != nil)
}

// FuzzCall holds both ends against each other: what a caller puts in, the handler gets.
func FuzzCall(f *testing.F) {
	f.Add("42", int8(3), "t", uint16(9), 1.5, true, int64(1767323045), "acme", "name", "sku")
	f.Add("a/b%2F", int8(-128), "", uint16(0), 0.0, false, int64(0), "", "\u2028<>&", "")
	f.Fuzz(func(t *testing.T, id string, n int8, tag string, limit uint16, ratio float64, deep bool, since int64,
		tenant, name, sku string) {
		want := everything{ID: id, N: n, Tags: []string{tag, "x"}, Limit: &limit, Ratio: ratio, Deep: deep,
			Since: time.Unix(since%(1<<37), 0).UTC(), Tenant: tenant, Name: name, Items: []item{{SKU: sku + "x"}}}
		if id == "" || ratio-ratio != 0 || !utf8.ValidString(name) || !utf8.ValidString(sku) || !sendable(&want) ||
			want.Since.Year() > 9999 || want.Since.Year() < 0 {
			t.Skip()
		}
		var got everything
		c := serve(echo, func(_ context.Context, r everything) (everything, error) {
			got = r
			return everything{}, nil
		})
		if _, err := echo.Call(t.Context(), c, want); err != nil {
			t.Fatalf("Call(%+v): %v", want, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("sent\n %#v, got\n %#v", want, got)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	mux := http.NewServeMux()
	c := serve(echo, func(_ context.Context, r everything) (everything, error) { return r, nil })
	mux.Handle("/", c.h)
	body := `{"name":"n","items":[{"sku":"s"},{"sku":"t"}]}`
	r := httptest.NewRequest("POST", "/things/42/7?tag=a&limit=3", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Tenant", "acme")
	rd := strings.NewReader(body)
	r.Body = io.NopCloser(rd)
	w := &discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		rd.Reset(body)
		c.h.ServeHTTP(w, r)
	}
	if w.status != 200 {
		b.Fatal(w.status)
	}
}

type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(s int)           { d.status = s }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
