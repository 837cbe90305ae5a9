package httpserver

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/transport"
)

// Limiter says whether one more request of a key may pass, as *resilience.Limiter does.
type Limiter interface {
	// Take takes one from the key's quota. It returns how many are left and 0, or, where none was there, 0 and how long
	// until one is. It must be safe for concurrent use.
	Take(ctx context.Context, key string) (left int, wait time.Duration)
}

// RateLimitOptions say who shares a quota.
type RateLimitOptions struct {
	// Key names whom a request counts for; "" passes without being counted. For callers that are authenticated take the
	// subject, for others [Proxies.ClientKey]. Nil means the address of the connection, which behind a proxy is the
	// proxy's: everybody shares one quota.
	Key func(*http.Request) string
	// Name is the policy's name in the RateLimit fields, of printable ASCII; other characters, quotes and backslashes
	// are left out. Layers with different policies need different names. Empty means "default".
	Name string
}

// RateLimit returns a middleware that answers 429 with Retry-After where l has nothing left for the request's key. Every
// answer has the RateLimit field, and where l has a method Policy() (quota int, window time.Duration) the
// RateLimit-Policy field (draft-ietf-httpapi-ratelimit-headers-10): "r" is what is left, "q" the quota, and "w" and "t"
// are in seconds. Inside of [Server] the caller is known already; nil options are defaults.
//
// l must not be nil.
func RateLimit(l Limiter, o *RateLimitOptions) func(http.Handler) http.Handler {
	limit := rateLimit{limiter: l, key: new(Proxies).ClientKey, name: quoted("default")}
	if o != nil && o.Key != nil {
		limit.key = o.Key
	}
	if o != nil && o.Name != "" {
		limit.name = quoted(o.Name)
	}
	if p, ok := l.(interface{ Policy() (int, time.Duration) }); ok {
		limit.quota, limit.window = p.Policy()
	}
	if limit.quota > 0 {
		limit.policy = limit.name + ";q=" + strconv.Itoa(limit.quota) + ";w=" + strconv.FormatInt(seconds(limit.window), 10)
	}
	return func(next http.Handler) http.Handler { return layer{next, limit.serve} }
}

type rateLimit struct {
	limiter Limiter
	key     func(*http.Request) string
	name    string // quoted
	policy  string // "" is none
	quota   int    // 0 is none
	window  time.Duration
}

func (l *rateLimit) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	key := l.key(r)
	if key == "" {
		next.ServeHTTP(w, r)
		return
	}
	left, wait := l.limiter.Take(r.Context(), key)
	h := w.Header()
	if l.policy != "" {
		h["Ratelimit-Policy"] = append(h["Ratelimit-Policy"], l.policy)
	}
	h["Ratelimit"] = append(h["Ratelimit"], l.state(left, wait))
	if wait <= 0 {
		next.ServeHTTP(w, r)
		return
	}
	decline(w, r, http.StatusTooManyRequests, &transport.Error{
		Code: transport.ResourceExhausted, Message: "too many requests", Delay: wait,
	})
}

// state is the RateLimit field. Its time is when the next one is there, or until the quota is whole.
func (l *rateLimit) state(left int, wait time.Duration) string {
	b := make([]byte, 0, 48)
	b = append(append(b, l.name...), ";r="...)
	b = strconv.AppendInt(b, int64(left), 10)
	if wait <= 0 && l.quota > 0 {
		wait = l.window / time.Duration(l.quota) * time.Duration(max(l.quota-left, 0))
	}
	if wait > 0 {
		b = strconv.AppendInt(append(b, ";t="...), seconds(wait), 10)
	}
	return string(b)
}

// quoted is a string of RFC 9651, 3.3.3.
func quoted(s string) string {
	return `"` + strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, s) + `"`
}
