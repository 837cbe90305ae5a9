package jwt_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

// libraryClaims are the claims as golang-jwt reads them.
type libraryClaims struct {
	gojwt.RegisteredClaims
	Scope string `json:"scope"`
}

// library is golang-jwt with the checks of newVerifier.
func library(now func() time.Time) func(token string) (libraryClaims, error) {
	parser := gojwt.NewParser(
		gojwt.WithStrictDecoding(), gojwt.WithValidMethods([]string{"HS256", "EdDSA"}), gojwt.WithTimeFunc(now),
		gojwt.WithIssuer("shop"), gojwt.WithAudience("users"), gojwt.WithExpirationRequired(), gojwt.WithIssuedAt(),
		gojwt.WithLeeway(30*time.Second))
	find := func(t *gojwt.Token) (any, error) {
		switch t.Header["kid"] {
		case "h":
			return secret, nil
		case "e":
			return public, nil
		}
		return nil, errors.New("unknown key")
	}
	return func(token string) (c libraryClaims, err error) {
		_, err = parser.ParseWithClaims(token, &c, find)
		return c, err
	}
}

// FuzzVerifyBesideLibrary signs any header and any claims, changes a byte of the token where there is one at that
// place, and asks golang-jwt too: what is accepted it accepts, with the same claims, where it can read the header, and
// what it accepts is refused only for what it does not look at.
func FuzzVerifyBesideLibrary(f *testing.F) {
	const claims = `{"iss":"shop","sub":"o","aud":"users","exp":9e9}`
	for _, c := range []string{
		claims, `{"iss":"shop","sub":"o","aud":["a","users"],"exp":9e9,"nbf":1.5,"iat":0,"jti":"1","scope":" r  w "}`, `null`,
		`{"iss":"shop","sub":"o","aud":["users",null],"exp":9e9}`, `{"iss":"shop","sub":"o","aud":"users","exp":"9e9"}`,
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9,"nbf":-1}`, `{"iss":"shop","sub":"o","aud":"users","exp":1e99}`,
		`{"iss":"shop","sub":"\ud800","aud":"users","exp":9e9}`, `{"iss":"sh\u006fp","sub":"o","aud":"us\u0065rs","exp":9e9}`,
		`{"iss":"shop","sub":"o","aud":"users","\u0065xp":9e9}`, `{"iss":"shop","sub":"o","aud":"users","EXP":9e9}`,
		`{"iss":"shop","sub":"o","aud":"users","exp":1,"exp":9e9}`, `{"iss":"shop","aud":"users","exp":9e9}`,
		`{"iss":"shop","sub":"o","aud":"users","exp":8999999999.9}`, `{"iss":"shop","sub":null,"aud":null,"exp":null}`,
		"{\"iss\":\"shop\",\"sub\":\"o\xff\",\"aud\":\"users\",\"exp\":9e9}",
	} {
		f.Add(goodHeader, c, uint16(1<<15), byte(0))
	}
	for _, h := range []string{
		`{"alg":"EdDSA","kid":"e"}`, `{"alg":"HS256","kid":"h","kid":"e"}`, `{"ALG":"none","alg":"HS256","kid":"h"}`, `{}`,
		`{"alg":"HS256","kid":"h","crit":["b64"],"b64":false}`, `{"alg":"HS256","kid":"\u0068"}`, `{"alg":"HS256","kid":"e"}`,
		`{"alg":"HS256","kid":"h","typ":"at\u002bjwt"}`, `{"alg":"HS256","kid":"h","typ":null}`, `{"alg":"none","kid":"h"}`,
		`{"alg":"HS256","kid":"h","x":1e999}`,
	} {
		f.Add(h, claims, uint16(1<<15), byte(0))
	}
	f.Add(goodHeader, claims, uint16(3), byte('\n'))
	f.Add(goodHeader, claims, uint16(80), byte('.'))
	v := newVerifier(f, uncached)
	now := time.Unix(1_800_000_000, 0)
	ask := library(func() time.Time { return now })
	f.Fuzz(func(t *testing.T, header, claims string, at uint16, b byte) {
		sign := hs256(secret)
		if strings.Contains(header, `"EdDSA"`) {
			sign = eddsa
		}
		token := []byte(forge(header, claims, sign))
		if int(at) < len(token) {
			token[at] = b
		}
		p, gotErr := v.VerifyAt(string(token), now)
		c, err := ask(string(token))
		switch e, _ := errors.AsType[*jwt.Error](gotErr); {
		case gotErr != nil && err == nil && !stricter(string(token), c, e.Reason):
			t.Fatalf("got %v, want %+v", gotErr, c)
		case gotErr == nil && err != nil && readable(string(token)):
			t.Fatalf("got %+v, want an error as of the library: %v", p, err)
		case gotErr == nil && err == nil && (p.Issuer != c.Issuer || p.Subject != c.Subject || p.ID != c.ID ||
			!p.Expires.Equal(c.ExpiresAt.Time) || !slices.Equal(p.Audience, c.Audience) ||
			!slices.Equal(p.Scopes, strings.Fields(c.Scope))):
			t.Fatalf("got %+v, want %+v", p, c)
		}
	})
}

// readable reports whether golang-jwt can read the header of token: a number that is too large for a float64 is in the
// way also where nobody asks for it.
func readable(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	var m map[string]any
	return json.Unmarshal(unb64(header), &m) == nil
}

// stricter reports whether golang-jwt does not look at what token was refused for.
func stricter(token string, c libraryClaims, why jwt.Reason) bool {
	switch why {
	case jwt.ReasonTooLarge:
		return len(token) > 8<<10
	case jwt.ReasonCritical, jwt.ReasonType:
		return true
	case jwt.ReasonSubject:
		return c.Subject == ""
	case jwt.ReasonMalformed:
	default:
		return false
	}
	if strings.ContainsAny(token, "\r\n") {
		return true // of which it reads the same token
	}
	parts := strings.Split(token, ".")
	header := string(unb64(parts[0]))
	claims := string(unb64(parts[1]))
	return !utf8.ValidString(header) || !utf8.ValidString(claims) ||
		ambiguous(header, []string{"alg", "typ", "kid", "crit"}) ||
		ambiguous(claims, []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope"}) ||
		strings.ContainsRune(c.Issuer+c.Subject+c.ID+c.Scope+strings.Join(c.Audience, ""), utf8.RuneError) ||
		oddDate(claims)
}

// oddDate reports whether a date is in quotes, or in no year from 1970 to 9999.
func oddDate(claims string) bool {
	var m map[string]any
	_ = json.Unmarshal([]byte(claims), &m)
	for _, name := range []string{"exp", "nbf", "iat"} {
		seconds, ok := m[name].(float64)
		if m[name] != nil && !ok || seconds < 0 || seconds > 253402300799 {
			return true
		}
	}
	return false
}

// BenchmarkLibrary is what BenchmarkVerify costs by hand (ByHand), and what of that is cryptography (Bare).
func BenchmarkLibrary(b *testing.B) {
	ask := library(time.Now)
	for name, k := range map[string]jwt.Key{
		"HS256": must(jwt.HS256("h", secret)),
		"EdDSA": must(jwt.Ed25519("e", private)),
	} {
		token := must(newIssuer(b, func(o *jwt.IssuerOptions) { o.Key, o.Scopes = k, []string{"read"} }).
			Token(b.Context(), "users"))
		b.Run(name+"/ByHand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ask(token); err != nil {
					b.Fatal(err)
				}
			}
		})
		dot := strings.LastIndexByte(token, '.')
		signed, signature := token[:dot], unb64(token[dot+1:])
		b.Run(name+"/Bare", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if name == "EdDSA" {
					ed25519.Verify(public, []byte(signed), signature)
				} else {
					hs256(secret)(signed)
				}
			}
		})
	}
}
