package jwt_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

func TestHS256(t *testing.T) {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	pkix := must(x509.MarshalPKIXPublicKey(public))
	certificate := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, public, private))
	jwk := fmt.Sprintf("\n"+`{"kty":"OKP","crv":"Ed25519","x":"%s"}`, b64(public))

	for name, secret := range map[string][]byte{
		"Nil":              nil,
		"Short":            secret[:31],
		"Zeros":            make([]byte, 64),
		"PEM":              pemOf("PUBLIC KEY", pkix),
		"PEMOfCertificate": append([]byte("Bag Attributes\n"), pemOf("CERTIFICATE", certificate)...),
		"PEMOfPrivate":     pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private))),
		"DEROfEd25519":     pkix,
		"DEROfRSA":         must(x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)),
		"DEROfPKCS1":       x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey),
		"DEROfPrivate":     must(x509.MarshalPKCS8PrivateKey(private)),
		"DEROfPrivateRSA":  x509.MarshalPKCS1PrivateKey(rsaKey),
		"DEROfPrivateEC":   must(x509.MarshalECPrivateKey(ecKey)),
		"DEROfCertificate": certificate,
		"Base64OfDER":      []byte(base64.StdEncoding.EncodeToString(pkix) + "\n"),
		"JWK":              []byte(jwk),
		"OpenSSH":          []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0W3Hs0B5vW8cE0RzmnFy7bbJpl orders@shop"),
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			_, err := jwt.HS256("k", secret)
			if err == nil {
				t.Fatal("got no error, want one")
			}
			if len(secret) > 0 && strings.Contains(err.Error(), string(secret)) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
	t.Run("RefusesNoID", func(t *testing.T) {
		if _, err := jwt.HS256("", secret); err == nil {
			t.Error("got no error, want one")
		}
	})
	t.Run("TakesAnyOtherBytes", func(t *testing.T) {
		for range 1000 {
			random := make([]byte, jwt.MinSecret)
			_, _ = rand.Read(random)
			if _, err := jwt.HS256("k", random); err != nil {
				t.Fatalf("%x: %v", random, err)
			}
		}
		for _, s := range []string{
			base64.StdEncoding.EncodeToString(secret), "{not JSON, and long enough to pass", strings.Repeat("ab", 16),
		} {
			if _, err := jwt.HS256("k", []byte(s)); err != nil {
				t.Errorf("%q: %v", s, err)
			}
		}
	})
	t.Run("CopiesTheSecret", func(t *testing.T) {
		mine := bytes.Clone(secret)
		k := must(jwt.HS256("h", mine))
		clear(mine)
		v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Keys = []jwt.Key{k} })
		wantAccepted(t, v, forge(goodHeader, goodClaims(""), hs256(secret)))
	})
}

// signer pretends to hold a key elsewhere.
type signer struct{ public crypto.PublicKey }

func (s signer) Public() crypto.PublicKey { return s.public }
func (s signer) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return ed25519.Sign(private, digest), nil
}

func TestEd25519(t *testing.T) {
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for name, f := range map[string]func() (jwt.Key, error){
		"NoID":            func() (jwt.Key, error) { return jwt.Ed25519("", private) },
		"NoSigner":        func() (jwt.Key, error) { return jwt.Ed25519("e", nil) },
		"EmptyKey":        func() (jwt.Key, error) { return jwt.Ed25519("e", ed25519.PrivateKey{}) },
		"OtherAlgorithm":  func() (jwt.Key, error) { return jwt.Ed25519("e", ecKey) },
		"PublicNoID":      func() (jwt.Key, error) { return jwt.Ed25519Public("", public) },
		"PublicTooShort":  func() (jwt.Key, error) { return jwt.Ed25519Public("e", public[:31]) },
		"SignerTooShort":  func() (jwt.Key, error) { return jwt.Ed25519("e", signer{public[:31]}) },
		"SignerWithNoKey": func() (jwt.Key, error) { return jwt.Ed25519("e", signer{nil}) },
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			if _, err := f(); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
	t.Run("SignsWithAKeyThatIsElsewhere", func(t *testing.T) {
		i := must(jwt.NewIssuer(&jwt.IssuerOptions{
			Issuer: "shop", Subject: "orders", Key: must(jwt.Ed25519("e", signer{public})),
		}))
		wantAccepted(t, newVerifier(t, nil), must(i.Token(t.Context(), "users")))
	})
}

func TestKeyShowsNoSecret(t *testing.T) {
	keys := map[string]jwt.Key{
		`HS256 key "h"`: must(jwt.HS256("h", secret)),
		`EdDSA key "e"`: must(jwt.Ed25519("e", private)),
	}
	for want, k := range keys {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%b"} {
			if got := fmt.Sprintf(verb, k); got != want {
				t.Errorf("%s: got %q, want %q", verb, got, want)
			}
			holder := struct{ key jwt.Key }{k}
			issuer := newIssuer(t, func(o *jwt.IssuerOptions) { o.Key = k })
			verifier := newVerifier(t, func(o *jwt.VerifierOptions) { o.Keys = []jwt.Key{k} })
			for _, nested := range []any{
				holder, &holder, []jwt.Key{k}, &k, issuer, *verifier, verifier, struct{ v *jwt.Verifier }{verifier},
			} {
				wantNoSecret(t, fmt.Sprintf(verb, nested))
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "keys", []jwt.Key{k})
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "holder", struct{ key jwt.Key }{k})
		wantNoSecret(t, log.String())
		wantNoSecret(t, string(must(json.Marshal(map[string]any{"key": k, "options": jwt.IssuerOptions{Key: k}}))))
	}
	if got, want := fmt.Sprint(jwt.Key{}), "no key"; got != want {
		t.Errorf("zero key: got %q, want %q", got, want)
	}
}

// wantNoSecret checks that text holds the keys in none of the usual forms.
func wantNoSecret(t *testing.T, text string) {
	t.Helper()
	lower := strings.ToLower(text)
	for _, s := range [][]byte{secret, private.Seed()} {
		hex := fmt.Sprintf("%x", s[:4])
		list := strings.Trim(fmt.Sprintf("%d", s[:4]), "[]")
		for _, form := range []string{string(s), hex, list, base64.StdEncoding.EncodeToString(s)[:8]} {
			if strings.Contains(text, form) || strings.Contains(lower, form) {
				t.Errorf("%q shows a secret", text)
			}
		}
	}
}
