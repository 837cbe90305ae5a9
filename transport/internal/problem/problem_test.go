package problem_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

func write(ctx context.Context, e *transport.Error) *http.Response {
	rec := httptest.NewRecorder()
	rec.Header().Set("Etag", "of another body")
	problem.Write(rec, httptest.NewRequestWithContext(ctx, "GET", "/", nil), e.Code.HTTPStatus(), e)
	return rec.Result()
}

func TestWrite(t *testing.T) {
	ctx := correlation.NewContext(t.Context(), "c-1")
	resp := write(ctx, &transport.Error{Code: transport.InvalidArgument, Message: "no",
		Fields: []transport.FieldViolation{{Field: "sku", Description: "is required"}}, Delay: 1500 * time.Millisecond})
	body, _ := io.ReadAll(resp.Body)

	want := `{"title":"Bad Request","status":400,"detail":"no","code":"invalid_argument",` +
		`"fields":[{"field":"sku","description":"is required"}],"correlation_id":"c-1"}`
	if string(body) != want {
		t.Errorf("body\n got %s\nwant %s", body, want)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/problem+json", "Retry-After": "2", "X-Content-Type-Options": "nosniff", "Etag": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	t.Run("ReturnsWhatWasWritten", func(t *testing.T) {
		for c := transport.Canceled; c <= transport.Unauthenticated; c++ {
			want := &transport.Error{Code: c, Message: "m", Delay: 7 * time.Second, Remote: true,
				Fields: []transport.FieldViolation{{Field: "f", Description: "d"}}}
			if got := problem.Read(write(t.Context(), want)); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	})
	t.Run("NeverSendsTheCause", func(t *testing.T) {
		resp := write(t.Context(), transport.NewError(transport.Internal, "internal error", io.ErrNoProgress))
		if body, _ := io.ReadAll(resp.Body); strings.Contains(string(body), io.ErrNoProgress.Error()) {
			t.Errorf("the body holds the cause: %s", body)
		}
	})
	t.Run("ReadsAForeignAnswerByItsStatus", func(t *testing.T) {
		for name, resp := range map[string]*http.Response{
			"page":              response(503, "text/html", "<h1>secret\nstack</h1>"+strings.Repeat("x", 1<<20)),
			"problem of others": response(503, transport.ContentTypeProblem, `{"detail":"secret\nstack","fields":[{}]}`),
			"no JSON":           response(503, transport.ContentTypeProblem, "secret\nstack"),
			"of a code unknown": response(503, transport.ContentTypeProblem, `{"code":"ok","detail":"secret\nstack"}`),
		} {
			got := problem.Read(resp)
			if got.Code != transport.Unavailable || got.Message != "Service Unavailable" || !got.Remote || got.Fields != nil {
				t.Errorf("%s: got %+v, want what the status says", name, got)
			}
			if s := got.Error(); !strings.Contains(s, `secret\nstack`) && !strings.Contains(s, `secret\\nstack`) ||
				strings.Contains(s, "\n") || len(s) > 1<<10 {
				t.Errorf("%s: the log gets %q, want the beginning of the body on one line", name, s)
			}
			if body, _ := io.ReadAll(write(t.Context(), transport.AsError(got)).Body); strings.Contains(string(body), "secret") {
				t.Errorf("%s: sent on: %s", name, body)
			}
		}
	})
	t.Run("HasNoCauseForNoBody", func(t *testing.T) {
		got := problem.Read(response(503, "", " \xff\n"))
		want := &transport.Error{Code: transport.Unavailable, Message: "Service Unavailable", Remote: true}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("ReadsARetryDate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			resp := response(429, "", "")
			resp.Header.Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
			if got := problem.Read(resp).Delay; got != time.Minute {
				t.Errorf("Delay = %v, want 1m", got)
			}
		})
	})
	t.Run("IgnoresAWaitThatIsNone", func(t *testing.T) {
		for _, v := range []string{"-1", "soon", "Mon, 01 Jan 1990 00:00:00 GMT", "99999999999999999999"} {
			resp := response(429, "", "")
			resp.Header.Set("Retry-After", v)
			if got := problem.Read(resp).Delay; got != 0 {
				t.Errorf("Retry-After %q: %v, want 0", v, got)
			}
		}
	})
}

func response(status int, contentType, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(strings.NewReader(body))}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{
		"", "0", "120", " 7 ", "-1", "+1", "1.5", "4294967295", "4294967296", "99999999999999999999",
		"Mon, 01 Jan 2040 00:00:00 GMT", "Monday, 01-Jan-40 00:00:00 GMT", "Mon Jan  1 00:00:00 2040", "soon", "\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := problem.RetryAfter(s)
		if d < 0 || d > 24*time.Hour {
			t.Errorf("%q: %v, want 0 to 24h", s, d)
		}
		digits := strings.Trim(s, " ")
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil && d != time.Duration(n)*time.Second {
			t.Errorf("%q: %v, want %ds", s, d, n)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(400, "application/problem+json", `{"code":"not_found","detail":"x","fields":[{"field":"a"}]}`, "3")
	f.Add(200, "application/problem+json", `{"code":"ok","detail":"`+strings.Repeat("ä", 600)+`"}`, "-1")
	f.Add(999, "application/problem+json; charset=\xff", `{"status":"x"}`, "Mon, 01 Jan 2040 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, status int, contentType, body, retry string) {
		resp := response(status, contentType, body)
		resp.Header.Set("Retry-After", retry)
		e := problem.Read(resp)
		if e.Code == transport.OK || !e.Remote || e.Message == "" || e.Delay < 0 || e.Delay > 24*time.Hour {
			t.Errorf("not an error: %+v", e)
		}
		if len(e.Message) > 1<<10 || !utf8.ValidString(e.Message) || len(e.Fields) > 64 {
			t.Errorf("unbounded: %d bytes, %d fields", len(e.Message), len(e.Fields))
		}
		if _, err := json.Marshal(e.Fields); err != nil {
			t.Errorf("fields do not encode: %v", err)
		}
	})
}
