package jwt_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

func unb64(s string) []byte { return must(base64.RawURLEncoding.DecodeString(s)) }

// The tokens of the standards have no "kid": their signatures are checked, and a Verifier refuses them.
func TestVectors(t *testing.T) {
	const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	oct := must(jwt.HS256("h", unb64(
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")))
	okp := must(jwt.Ed25519Public("e", ed25519.PublicKey(unb64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))))
	v := must(jwt.NewVerifier(&jwt.VerifierOptions{Issuer: "joe", AnyAudience: true, Keys: []jwt.Key{oct, okp}}))

	for name, c := range map[string]struct {
		key    jwt.Key
		token  string
		signed bool
		want   jwt.Reason
	}{
		"RFC7515A1": {oct, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe +
			".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", true, jwt.ReasonUnknownKey},
		"RFC7515A5": {oct, "eyJhbGciOiJub25lIn0." + joe + ".", false, jwt.ReasonUnknownKey},
		"RFC8037A4": {okp, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
			"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
			true, jwt.ReasonMalformed}, // its payload is no JSON
	} {
		t.Run(name, func(t *testing.T) {
			dot := strings.LastIndexByte(c.token, '.')
			if got := c.key.Verifies(c.token[:dot], unb64(c.token[dot+1:])); got != c.signed {
				t.Errorf("signature: got %v, want %v", got, c.signed)
			}
			wantRefused(t, v, c.token, c.want)
		})
	}
	t.Run("RFC7519Claims", func(t *testing.T) {
		v := must(jwt.NewVerifier(&jwt.VerifierOptions{
			Issuer: "joe", AnyAudience: true, Keys: []jwt.Key{must(jwt.HS256("h", secret))}, Leeway: -1,
		}))
		claims := string(unb64(joe))
		wantRefused(t, v, forge(goodHeader, claims, hs256(secret)), jwt.ReasonSubject)
		claims = strings.Replace(claims, "{", `{"sub":"o",`, 1)
		token := forge(goodHeader, claims, hs256(secret))
		p, err := v.VerifyAt(token, time.Unix(1300819379, 0))
		if err != nil || !p.Expires.Equal(time.Unix(1300819380, 0)) {
			t.Errorf("got %+v, %v; want a principal until 1300819380", p, err)
		}
		wantRefused(t, v, token, jwt.ReasonExpired)
	})
}

func TestVerifySignatures(t *testing.T) {
	h, e := must(jwt.HS256("h", secret)), must(jwt.Ed25519Public("e", public))
	const text = "a.b"
	mac, sig := hs256(secret)(text), eddsa(text)
	if !h.Verifies(text, mac) || !e.Verifies(text, sig) {
		t.Fatal("a good signature is refused")
	}
	// S plus the order of the group satisfies the same equation (RFC 8032 section 5.1.7).
	order := [32]byte{
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10,
	}
	other := slices.Clone(sig)
	carry := 0
	for i := range order {
		carry += int(other[32+i]) + int(order[i])
		other[32+i] = byte(carry)
		carry >>= 8
	}
	for name, c := range map[string]struct {
		key       jwt.Key
		signature []byte
	}{
		"HS256/Empty":  {h, nil},
		"HS256/Cut":    {h, mac[:31]},
		"HS256/Half":   {h, mac[:16]},
		"HS256/Long":   {h, slices.Concat(mac, make([]byte, 1))},
		"HS256/Zeros":  {h, make([]byte, 32)},
		"EdDSA/Empty":  {e, nil},
		"EdDSA/Cut":    {e, sig[:63]},
		"EdDSA/Long":   {e, slices.Concat(sig, make([]byte, 1))},
		"EdDSA/Zeros":  {e, make([]byte, 64)},
		"EdDSA/ZeroS":  {e, slices.Concat(sig[:32], make([]byte, 32))},
		"EdDSA/ZeroR":  {e, slices.Concat(make([]byte, 32), sig[32:])},
		"EdDSA/OtherS": {e, other},
		"EdDSA/MAC":    {e, hs256(public)(text)},
	} {
		if c.key.Verifies(text, c.signature) {
			t.Errorf("%s: accepted", name)
		}
	}
	for range 3 { // what is kept of one check does not show in the next
		for _, wrong := range []string{"", "a", "a.b.", "a.c"} {
			if h.Verifies(wrong, mac) || !h.Verifies(text, mac) {
				t.Errorf("%q: a signature of another text is accepted, or the right one refused", wrong)
			}
		}
	}
}
