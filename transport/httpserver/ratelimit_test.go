package httpserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

var noContent = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRateLimit(t *testing.T) {
	limiter := func(quota int) *resilience.Limiter {
		return resilience.NewLimiter(&resilience.LimiterOptions{Quota: quota, Window: time.Minute})
	}
	t.Run("AnswersWhatIsLeftAndWhenToComeBack", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := httpserver.RateLimit(limiter(2), nil)(noContent)
			for _, want := range []struct {
				status     int
				state      string
				retryAfter string
			}{
				{204, `"default";r=1;t=30`, ""},
				{204, `"default";r=0;t=60`, ""},
				{429, `"default";r=0;t=30`, "30"},
			} {
				w := serve(h, forwarded("203.0.113.9:99", ""))
				if w.Code != want.status || w.Header().Get("RateLimit") != want.state ||
					w.Header().Get("Retry-After") != want.retryAfter {
					t.Errorf("status %d, RateLimit %q, Retry-After %q, want %+v", w.Code, w.Header().Get("RateLimit"),
						w.Header().Get("Retry-After"), want)
				}
				if got := w.Header().Get("RateLimit-Policy"); got != `"default";q=2;w=60` {
					t.Errorf("RateLimit-Policy %q", got)
				}
				if want.status == 429 && !strings.Contains(w.Body.String(), `"code":"resource_exhausted"`) {
					t.Errorf("body %s, want a problem", w.Body)
				}
			}
			time.Sleep(30 * time.Second)
			if w := serve(h, forwarded("203.0.113.9:99", "")); w.Code != 204 {
				t.Errorf("after Retry-After: status %d, want 204", w.Code)
			}
		})
	})
	t.Run("SaysNoTimeThatIsTooShort", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 2, Window: 3 * time.Second})
			h := httpserver.RateLimit(l, nil)(noContent)
			serve(h, forwarded("203.0.113.9:99", ""))
			serve(h, forwarded("203.0.113.9:99", ""))
			w := serve(h, forwarded("203.0.113.9:99", ""))
			if got := w.Header(); got.Get("RateLimit") != `"default";r=0;t=2` || got.Get("Retry-After") != "2" {
				t.Errorf("with 1.5s to wait: RateLimit %s, Retry-After %s, want 2", got.Get("RateLimit"), got.Get("Retry-After"))
			}
		})
	})
	t.Run("CountsByAddressUnlessTold", func(t *testing.T) {
		h := httpserver.RateLimit(limiter(1), nil)(noContent)
		for _, c := range []struct {
			peer string
			want int
		}{{"203.0.113.9:1", 204}, {"203.0.113.9:2", 429}, {"203.0.113.8:1", 204}, {"[2001:db8::1]:1", 204}, {"[2001:db8::2]:1", 429}} {
			if w := serve(h, forwarded(c.peer, "")); w.Code != c.want {
				t.Errorf("%s: status %d, want %d", c.peer, w.Code, c.want)
			}
		}
	})
	t.Run("CountsByCaller", func(t *testing.T) {
		h := httpserver.RateLimit(limiter(1), &httpserver.RateLimitOptions{Key: func(r *http.Request) string {
			p, _ := auth.FromContext(r.Context())
			return p.Subject
		}})(noContent)
		for _, c := range []struct {
			subject string
			want    int
		}{{"ada", 204}, {"ada", 429}, {"bob", 204}, {"", 204}, {"", 204}} {
			r := forwarded("203.0.113.9:1", "")
			w := serve(h, r.WithContext(auth.NewContext(r.Context(), auth.Principal{Subject: c.subject})))
			if w.Code != c.want {
				t.Errorf("%q: status %d, want %d", c.subject, w.Code, c.want)
			}
			if _, counted := w.Header()["Ratelimit"]; counted != (c.subject != "") {
				t.Errorf("%q: RateLimit %q", c.subject, w.Header()["Ratelimit"])
			}
		}
	})
	t.Run("LayersAddUp", func(t *testing.T) {
		inner := httpserver.RateLimit(limiter(5), &httpserver.RateLimitOptions{Name: "by\"user\n"})(noContent)
		w := serve(httpserver.RateLimit(noPolicy{}, nil)(inner), forwarded("203.0.113.9:1", ""))
		if got := strings.Join(w.Header().Values("RateLimit"), ", "); got != `"default";r=7, "byuser";r=4;t=12` {
			t.Errorf("RateLimit %s", got)
		}
		if got := strings.Join(w.Header().Values("RateLimit-Policy"), ", "); got != `"byuser";q=5;w=60` {
			t.Errorf("RateLimit-Policy %s", got)
		}
	})
}

type noPolicy struct{}

func (noPolicy) Take(context.Context, string) (int, time.Duration) { return 7, 0 }

func BenchmarkRateLimit(b *testing.B) {
	l := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 1 << 30})
	h := httpserver.RateLimit(l, &httpserver.RateLimitOptions{Key: func(*http.Request) string { return "k" }})(noContent)
	r := forwarded("203.0.113.9:1", "")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}
