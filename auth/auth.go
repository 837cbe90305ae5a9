// Package auth is the contract between whoever proves an identity and whoever checks it: [Principal],
// [Verifier], [TokenSource] and the context that carries a verified principal through a request.
//
// It holds no cryptography and imports only the standard library, so that a server which accepts a Verifier does
// not link a token library its user did not choose. Package auth/jwt fills both interfaces.
package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// Kind says what sort of caller a [Principal] is. The zero value is KindUnknown, which no access rule but
// "any verified principal" accepts.
type Kind uint8

const (
	KindUnknown Kind = iota // verified, but nothing says whether it is a service or a person
	KindService             // a workload that authenticated with a credential of its own
	KindUser                // a person, or a device acting for one
)

// String returns "service", "user" or "unknown".
func (k Kind) String() string {
	switch k {
	case KindService:
		return "service"
	case KindUser:
		return "user"
	}
	return "unknown"
}

// Principal is a verified caller. Treat it as read-only: a Verifier that caches may hand the same slices to many
// requests.
type Principal struct {
	// Subject names the caller, unique within Issuer: the "sub" claim of a token, the URI of a certificate.
	Subject string
	// Issuer names who vouched for Subject.
	Issuer string
	// Kind says whether a service or a person called.
	Kind Kind
	// Audience lists whom the credential was made for.
	Audience []string
	// Scopes lists what the credential allows.
	Scopes []string
	// ID is unique per credential (the "jti" claim), "" where there is none.
	ID string
	// Expires is when the credential ends. Zero means it carries no end.
	Expires time.Time
}

// HasScope reports whether p's credential carries scope.
func (p Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// Verifier checks a bearer token and says whose it is.
//
// Verify returns an error that matches [ErrInvalidToken] when the token must be refused, and any other error (one
// that matches [ErrUnavailable], usually) when it could not be checked: the first is the caller's fault (401), the
// second is not (503). The error's text is for logs, never for the caller. Verify is safe for concurrent use.
type Verifier interface {
	Verify(ctx context.Context, token string) (Principal, error)
}

// VerifierFunc is a function that is a [Verifier].
type VerifierFunc func(ctx context.Context, token string) (Principal, error)

// Verify calls f.
func (f VerifierFunc) Verify(ctx context.Context, token string) (Principal, error) {
	return f(ctx, token)
}

// TokenSource yields a token that proves this process's identity to audience. Token is safe for concurrent use and
// cheap to call once a request: implementations cache, and renew before expiry.
type TokenSource interface {
	Token(ctx context.Context, audience string) (string, error)
}

// TokenSourceFunc is a function that is a [TokenSource].
type TokenSourceFunc func(ctx context.Context, audience string) (string, error)

// Token calls f.
func (f TokenSourceFunc) Token(ctx context.Context, audience string) (string, error) {
	return f(ctx, audience)
}

var (
	// ErrInvalidToken matches every error that means "refuse this credential".
	ErrInvalidToken = errors.New("auth: invalid token")
	// ErrUnavailable matches every error that means "this credential may be good, but cannot be checked now".
	ErrUnavailable = errors.New("auth: verification unavailable")
)

type principalKey struct{}

// NewContext returns a copy of ctx that carries p.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, &p)
}

// FromContext returns the verified caller of the request that ctx belongs to. It reports false where nobody was
// verified: an unauthenticated server, a public endpoint, a background job.
func FromContext(ctx context.Context) (Principal, bool) {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok {
		return *p, true
	}
	return Principal{}, false
}

// LogAttrs yields the verified caller of ctx as log attributes ("principal", "principal_kind"), or nil. Its shape
// fits logging.Options.Attrs.
func LogAttrs(ctx context.Context) []slog.Attr {
	p, ok := ctx.Value(principalKey{}).(*Principal)
	if !ok {
		return nil
	}
	return []slog.Attr{slog.String("principal", p.Subject), slog.String("principal_kind", p.Kind.String())}
}
