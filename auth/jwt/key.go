package jwt

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"sync"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// MinSecret is the shortest secret of an HS256 key, in bytes: the size of the hash's output, which RFC 7518
// section 3.2 demands.
const MinSecret = 32

// Key is one key with its name and its one algorithm: make it with [HS256], [Ed25519] or
// [Ed25519Public]. The zero Key is refused by [NewIssuer] and [NewVerifier]. However a Key is printed, logged or
// encoded, its secret does not show.
type Key struct {
	// A function, because fmt does not look into one: where a Key sits in an unexported field, fmt cannot call its
	// methods, and would print what a pointer points to.
	open func() *material
}

// material is what a Key is made of.
type material struct {
	id     string
	method gojwt.SigningMethod // signs; its name is the one "alg" that tokens of this key have
	sign   any                 // what method takes to sign; nil where the key can only verify
	bytes  []byte              // the secret, or the public key
	verify func(signed, signature []byte) bool
}

func seal(m *material) Key { return Key{open: func() *material { return m }} }

// material returns what k is made of, nil for the zero Key.
func (k Key) material() *material {
	if k.open == nil {
		return nil
	}
	return k.open()
}

// HS256 returns a key that signs and verifies with HMAC SHA-256. Tokens name it by id.
//
// The secret has at least [MinSecret] bytes of randomness (crypto/rand, not a passphrase); it is copied. What is
// evidently no secret is refused: one byte repeated, and a public key, certificate or key file in PEM, DER, JWK or
// OpenSSH form, since a verifier whose "secret" is public accepts anybody's tokens.
func HS256(id string, secret []byte) (Key, error) {
	if id == "" {
		return Key{}, errors.New("jwt: HS256 key: no ID")
	}
	if err := checkSecret(secret); err != nil {
		return Key{}, fmt.Errorf("jwt: HS256 key %q: %w", id, err)
	}
	secret = bytes.Clone(secret)
	return seal(&material{
		id: id, method: gojwt.SigningMethodHS256, sign: secret, bytes: secret, verify: verifyHS256(secret),
	}), nil
}

// verifyHS256 returns a function that checks MACs of secret in constant time, and keeps what it has computed from the
// secret alone.
func verifyHS256(secret []byte) func(signed, signature []byte) bool {
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}
	return func(signed, signature []byte) bool {
		mac, _ := macs.Get().(hash.Hash)
		defer macs.Put(mac)
		mac.Reset()
		mac.Write(signed)
		return hmac.Equal(mac.Sum(nil), signature)
	}
}

// Ed25519 returns a key that signs and verifies with Ed25519: signer is an ed25519.PrivateKey, or stands for one
// that is kept elsewhere. Its Sign must be safe for concurrent use and bound its own time. Tokens name the key by id.
func Ed25519(id string, signer crypto.Signer) (Key, error) {
	if signer == nil {
		return Key{}, fmt.Errorf("jwt: Ed25519 key %q: no signer", id)
	}
	if private, ok := signer.(ed25519.PrivateKey); ok && len(private) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("jwt: Ed25519 key %q: %d bytes, want %d", id, len(private), ed25519.PrivateKeySize)
	}
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return Key{}, fmt.Errorf("jwt: Ed25519 key %q: the signer is of another algorithm (%T)", id, signer.Public())
	}
	k, err := Ed25519Public(id, public)
	if err != nil {
		return Key{}, err
	}
	k.material().sign = signer
	return k, nil
}

// Ed25519Public returns a key that verifies what the private key of public has signed under the name id.
func Ed25519Public(id string, public ed25519.PublicKey) (Key, error) {
	if id == "" {
		return Key{}, errors.New("jwt: Ed25519 key: no ID")
	}
	if len(public) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("jwt: Ed25519 key %q: %d bytes, want %d", id, len(public), ed25519.PublicKeySize)
	}
	public = bytes.Clone(public)
	return seal(&material{
		id: id, method: gojwt.SigningMethodEdDSA, bytes: public,
		verify: func(signed, signature []byte) bool { return ed25519.Verify(public, signed, signature) },
	}), nil
}

// String returns the algorithm and the ID.
func (k Key) String() string {
	m := k.material()
	if m == nil {
		return "no key"
	}
	return fmt.Sprintf("%s key %q", m.method.Alg(), m.id)
}

// Format prints what String returns, whatever the verb: some verbs would print the secret's bytes.
func (k Key) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, k.String()) }

// LogValue returns what String returns.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON encodes what String returns.
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// checkSecret refuses what cannot be a shared secret.
func checkSecret(secret []byte) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("the secret has %d bytes, want at least %d", len(secret), MinSecret)
	}
	if bytes.Count(secret, secret[:1]) == len(secret) {
		return errors.New("the secret is one byte repeated")
	}
	text := bytes.TrimSpace(secret)
	switch {
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return errors.New("the secret is a PEM file")
	case bytes.HasPrefix(text, []byte("ssh-")), bytes.HasPrefix(text, []byte("ecdsa-sha2-")):
		return errors.New("the secret is an OpenSSH public key")
	case bytes.HasPrefix(text, []byte("{")) && json.Valid(text):
		return errors.New("the secret is a JSON document, such as a JWK")
	case isDER(secret), isBase64DER(text):
		return errors.New("the secret is a key or certificate of an asymmetric algorithm")
	}
	return nil
}

// isBase64DER reports whether text is the body of a PEM file.
func isBase64DER(text []byte) bool {
	der := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(der, text)
	return err == nil && isDER(der[:n])
}

// isDER reports whether b is a public key, a private key or a certificate.
func isDER(b []byte) bool {
	if _, err := x509.ParsePKIXPublicKey(b); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PublicKey(b); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS8PrivateKey(b); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PrivateKey(b); err == nil {
		return true
	}
	if _, err := x509.ParseECPrivateKey(b); err == nil {
		return true
	}
	_, err := x509.ParseCertificate(b)
	return err == nil
}
