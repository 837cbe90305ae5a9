// Package authtest makes identities for tests: an [Authority] with a key of its own mints tokens that its verifiers
// accept and no other authority's do.
package authtest

import (
	"crypto/ed25519"
	"testing"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

// issuer is the "iss" of every authority: two of them differ by their keys alone, as a forger and the forged do.
const issuer = "authtest"

// Authority vouches for services. It is safe for concurrent use.
type Authority struct {
	t   testing.TB
	key jwt.Key
}

// New returns an Authority with a fresh Ed25519 key. Its methods fail t at once where they cannot do what they promise.
func New(t testing.TB) *Authority {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatalf("authtest: generate a key: %v", err)
	}
	key, err := jwt.Ed25519("authtest", private)
	if err != nil {
		t.Fatalf("authtest: %v", err)
	}
	return &Authority{t: t, key: key}
}

// Issuer returns an auth.TokenSource of a service called subject that may do what scopes say.
func (a *Authority) Issuer(subject string, scopes ...string) *jwt.Issuer {
	a.t.Helper()
	i, err := jwt.NewIssuer(&jwt.IssuerOptions{Issuer: issuer, Subject: subject, Key: a.key, Scopes: scopes})
	if err != nil {
		a.t.Fatalf("authtest: %v", err)
	}
	return i
}

// Token returns a token of the service called subject for audience, for a test that sets the header itself.
func (a *Authority) Token(subject, audience string, scopes ...string) string {
	a.t.Helper()
	token, err := a.Issuer(subject, scopes...).Token(a.t.Context(), audience)
	if err != nil {
		a.t.Fatalf("authtest: %v", err)
	}
	return token
}

// Verifier returns an auth.Verifier of the service called audience.
func (a *Authority) Verifier(audience string) *jwt.Verifier {
	a.t.Helper()
	v, err := jwt.NewVerifier(&jwt.VerifierOptions{Issuer: issuer, Audience: audience, Keys: []jwt.Key{a.key}})
	if err != nil {
		a.t.Fatalf("authtest: %v", err)
	}
	return v
}
