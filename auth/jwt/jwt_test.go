package jwt_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	secret  = []byte("a shared secret of 32 bytes, ok!")
	private = ed25519.NewKeyFromSeed([]byte("a seed of exactly thirty-two oct"))
	public  = private.Public().(ed25519.PublicKey)
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// forge assembles a token from raw JSON, independently of the library under test, and signs it with sign.
func forge(header, claims string, sign func(string) []byte) string {
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(claims))
	return text + "." + enc.EncodeToString(sign(text))
}

func hs256(key []byte) func(string) []byte {
	return func(text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
}

func eddsa(text string) []byte { return ed25519.Sign(private, []byte(text)) }
func unsigned(string) []byte   { return nil }

const goodHeader = `{"alg":"HS256","typ":"JWT","kid":"h"}`

// goodClaims returns claims that are accepted, with more of them at the end.
func goodClaims(more string) string {
	return fmt.Sprintf(`{"iss":"shop","sub":"orders","aud":"users","exp":%d%s}`, time.Now().Unix()+60, more)
}

// newVerifier accepts tokens of the keys "h" (HS256) and "e" (Ed25519) for users, with what change makes of it.
func newVerifier(t testing.TB, change func(*jwt.VerifierOptions)) *jwt.Verifier {
	t.Helper()
	o := &jwt.VerifierOptions{
		Issuer: "shop", Audience: "users",
		Keys: []jwt.Key{must(jwt.HS256("h", secret)), must(jwt.Ed25519Public("e", public))},
	}
	if change != nil {
		change(o)
	}
	v, err := jwt.NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantRefused checks that v refuses token for that reason, "" for any.
func wantRefused(t *testing.T, v *jwt.Verifier, token string, want jwt.Reason) {
	t.Helper()
	p, err := v.Verify(t.Context(), token)
	if err == nil {
		t.Errorf("accepted as %q, want refused (%s)", p.Subject, want)
		return
	}
	if !errors.Is(err, auth.ErrInvalidToken) {
		t.Errorf("error %v does not match auth.ErrInvalidToken", err)
	}
	e, ok := errors.AsType[*jwt.Error](err)
	if !ok {
		t.Errorf("got %T, want *jwt.Error", err)
		return
	}
	if want != "" && e.Reason != want {
		t.Errorf("reason: got %s, want %s", e.Reason, want)
	}
	if got, want := err.Error(), "jwt: invalid token: "+string(e.Reason); got != want {
		t.Errorf("text: got %q, want %q", got, want)
	}
	if p.Subject != "" {
		t.Errorf("a refused token has the principal %q, want none", p.Subject)
	}
}

func wantAccepted(t *testing.T, v *jwt.Verifier, token string) {
	t.Helper()
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("refused: %v, want accepted", err)
	}
}
