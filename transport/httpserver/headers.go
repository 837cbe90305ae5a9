package httpserver

import (
	"net/http"
	"strconv"
	"time"
)

const (
	defaultHSTS = 365 * 24 * time.Hour
	// defaultPolicy is for answers that are data: a browser that is led to show one runs and frames nothing.
	defaultPolicy = "default-src 'none'; frame-ancestors 'none'"
)

// SecureHeadersOptions say what is not as it should be for an API.
type SecureHeadersOptions struct {
	// ContentSecurityPolicy is for services that serve pages. Empty means "default-src 'none'; frame-ancestors 'none'".
	ContentSecurityPolicy string
	// HSTS is how long browsers may speak nothing but HTTPS to this host (RFC 6797). It is sent over TLS, and in
	// cleartext where BehindTLS says so. Zero means a year; negative means that it is not sent.
	HSTS time.Duration
	// BehindTLS says that every client reaches this service over TLS, which ends at a proxy. False means that only the
	// connection's own TLS counts.
	BehindTLS bool
}

// SecureHeaders returns a middleware that sets the headers which keep browsers from making more of an answer than it is,
// after the OWASP REST Security Cheat Sheet: Content-Security-Policy, X-Content-Type-Options, X-Frame-Options,
// Referrer-Policy, Cross-Origin-Resource-Policy and Strict-Transport-Security. They are set before the handler runs, which
// may set others. Nil options are defaults.
func SecureHeaders(o *SecureHeadersOptions) func(http.Handler) http.Handler {
	if o == nil {
		o = &SecureHeadersOptions{}
	}
	policy, age := o.ContentSecurityPolicy, o.HSTS
	if policy == "" {
		policy = defaultPolicy
	}
	if age == 0 {
		age = defaultHSTS
	}
	hsts := "max-age=" + strconv.FormatInt(int64(age/time.Second), 10)
	behind := o.BehindTLS
	return func(next http.Handler) http.Handler {
		return layer{next, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			h := w.Header()
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("X-Frame-Options", "DENY") // for browsers that know no frame-ancestors
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			if age > 0 && (behind || r.TLS != nil) {
				h.Set("Strict-Transport-Security", hsts)
			}
			next.ServeHTTP(w, r)
		}}
	}
}
