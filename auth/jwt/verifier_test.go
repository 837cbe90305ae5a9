package jwt_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
)

func TestVerify(t *testing.T) {
	t.Run("ReturnsThePrincipal", func(t *testing.T) {
		v := newVerifier(t, nil)
		exp := time.Now().Add(time.Minute).Truncate(time.Second)
		claims := `{"iss":"shop","sub":"orders","aud":["site","users"],"jti":"1","scope":"read write","x":{}` +
			fmt.Sprintf(`,"exp":%d}`, exp.Unix())
		want := auth.Principal{
			Subject: "orders", Issuer: "shop", Kind: auth.KindService,
			Audience: []string{"site", "users"}, Scopes: []string{"read", "write"}, ID: "1", Expires: exp,
		}
		for name, token := range map[string]string{
			"HS256": forge(goodHeader, claims, hs256(secret)),
			"EdDSA": forge(`{"alg":"EdDSA","kid":"e"}`, claims, eddsa),
		} {
			got, err := v.Verify(t.Context(), token)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
			}
		}
	})
	t.Run("OfTheKindThatTheIssuerVouchesFor", func(t *testing.T) {
		v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Kind = auth.KindUser })
		p, err := v.Verify(t.Context(), forge(goodHeader, goodClaims(""), hs256(secret)))
		if p.Kind != auth.KindUser || err != nil {
			t.Errorf("got %v, %v; want user", p.Kind, err)
		}
	})
	t.Run("RefusesWhatIsNoToken", func(t *testing.T) {
		v := newVerifier(t, nil)
		good := forge(goodHeader, goodClaims(""), hs256(secret))
		h, rest, _ := strings.Cut(good, ".")
		c, sig, _ := strings.Cut(rest, ".")
		for name, token := range map[string]string{
			"Empty": "", "Word": "token", "TwoParts": h + "." + c, "FourParts": good + ".", "Padded": good + "=",
			"LineBreak": h + "." + c + ".\r\n" + sig, "Space": " " + good,
			"HeaderIsArray":  forge("[]", goodClaims(""), hs256(secret)),
			"ClaimsAreArray": forge(goodHeader, "[]", hs256(secret)),
			"ClaimsAreCut":   forge(goodHeader, `{"iss":"shop"`, hs256(secret)),
			"TwoDocuments":   forge(goodHeader, goodClaims("")+"{}", hs256(secret)),
		} {
			t.Run(name, func(t *testing.T) { wantRefused(t, v, token, jwt.ReasonMalformed) })
		}
	})
	t.Run("RefusesOtherSpellingsOfTheSignature", func(t *testing.T) {
		// 32 bytes end in a character of which 2 bits count for nothing.
		good := forge(goodHeader, goodClaims(""), hs256(secret))
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(alphabet, good[len(good)-1])
		v := newVerifier(t, nil)
		wantAccepted(t, v, good)
		wantRefused(t, v, good[:len(good)-1]+alphabet[last+1:last+2], jwt.ReasonMalformed)
	})
	t.Run("BoundsTheLength", func(t *testing.T) {
		long := func(n int) string {
			token := forge(goodHeader, goodClaims(`,"x":""`), hs256(secret))
			pad := (n - len(token)) * 3 / 4
			for ; len(token) < n; pad++ {
				token = forge(goodHeader, goodClaims(`,"x":"`+strings.Repeat("x", pad)+`"`), hs256(secret))
			}
			return token
		}
		wantAccepted(t, newVerifier(t, nil), long(8<<10-8))
		wantRefused(t, newVerifier(t, nil), long(8<<10+1), jwt.ReasonTooLarge)
		wantAccepted(t, newVerifier(t, func(o *jwt.VerifierOptions) { o.MaxBytes = -1 }), long(100<<10))
		wantRefused(t, newVerifier(t, func(o *jwt.VerifierOptions) { o.MaxBytes = 1000 }), long(1001), jwt.ReasonTooLarge)
	})
	t.Run("RefusesRepeatedAndMisspelledClaims", func(t *testing.T) {
		v := newVerifier(t, nil)
		for _, more := range []string{
			`,"sub":"admin"`, `, "sub" : "admin"`, `,"SUB":"admin"`, `,"\u0073ub":"admin"`, `,"\"":1`, `,"ſub":"admin"`,
			`,"x":{"y":["}"]},"sub":"admin"`, `,"x":"\\","sub":"admin"`, `,"exp":1`, `,"scope":"a","scope":"b"`,
		} {
			wantRefused(t, v, forge(goodHeader, goodClaims(more), hs256(secret)), jwt.ReasonMalformed)
		}
		for _, more := range []string{
			`,"x":1,"x":2`, `,"x":{"sub":1,"SUB":2}`, `,"x":["sub","sub"]`, `,"x":"sub","y":"\",\"sub\":\"admin\""`, `,"":"sub"`,
		} {
			p, err := v.Verify(t.Context(), forge(goodHeader, goodClaims(more), hs256(secret)))
			if err != nil || p.Subject != "orders" {
				t.Errorf("%s: got %q, %v; want orders", more, p.Subject, err)
			}
		}
	})
	t.Run("RefusesCriticalExtensionsAndOtherTypes", func(t *testing.T) {
		v := newVerifier(t, nil)
		for header, want := range map[string]jwt.Reason{
			`{"alg":"HS256","kid":"h","crit":["b64"],"b64":false}`: jwt.ReasonCritical,
			`{"alg":"HS256","kid":"h","crit":[]}`:                  jwt.ReasonCritical,
			`{"alg":"HS256","kid":"h","crit":null}`:                jwt.ReasonCritical,
			`{"alg":"HS256","kid":"h","typ":"logout+jwt"}`:         jwt.ReasonType,
			`{"alg":"HS256","kid":"h","typ":"dpop+jwt"}`:           jwt.ReasonType,
			`{"alg":"HS256","kid":"h","typ":5}`:                    jwt.ReasonType,
		} {
			wantRefused(t, v, forge(header, goodClaims(""), hs256(secret)), want)
		}
		for _, typ := range []string{"JWT", "jwt", "at+jwt", "application/at+jwt"} {
			wantAccepted(t, v, forge(`{"alg":"HS256","kid":"h","typ":"`+typ+`"}`, goodClaims(""), hs256(secret)))
		}
	})
	t.Run("RefusesForgeries", func(t *testing.T) {
		v := newVerifier(t, nil)
		foreign := hs256([]byte("another secret that is long enough"))
		wantRefused(t, v, forge(goodHeader, goodClaims(""), foreign), jwt.ReasonSignature)
		wantRefused(t, v, forge(goodHeader, goodClaims(""), unsigned), jwt.ReasonSignature)
		good := forge(goodHeader, goodClaims(""), hs256(secret))
		other := forge(goodHeader, goodClaims(`,"scope":"admin"`), hs256(secret))
		wantRefused(t, v, other[:strings.LastIndex(other, ".")]+good[strings.LastIndex(good, "."):], jwt.ReasonSignature)
	})
	t.Run("AcceptsSeveralKeysSideBySide", func(t *testing.T) {
		next := []byte("the next secret, of thirty-two b")
		v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Keys = append(o.Keys, must(jwt.HS256("h2", next))) })
		wantAccepted(t, v, forge(goodHeader, goodClaims(""), hs256(secret)))
		wantAccepted(t, v, forge(`{"alg":"HS256","kid":"h2"}`, goodClaims(""), hs256(next)))
		wantRefused(t, v, forge(`{"alg":"HS256","kid":"h2"}`, goodClaims(""), hs256(secret)), jwt.ReasonSignature)
		for _, header := range []string{
			`{"alg":"HS256"}`, `{"alg":"HS256","kid":"h3"}`, `{"alg":"HS256","kid":""}`, `{"alg":"HS256","kid":5}`,
		} {
			wantRefused(t, v, forge(header, goodClaims(""), hs256(secret)), jwt.ReasonUnknownKey)
		}
	})
}

func TestVerifyTheKeyChoosesTheAlgorithm(t *testing.T) {
	v := newVerifier(t, nil)
	der := must(x509.MarshalPKIXPublicKey(public))
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	rs256 := func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		return must(rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, sum[:]))
	}
	embedded := `"jwk":{"kty":"oct","k":"` + b64([]byte("evil")) + `"}}`
	jwk := fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":"%s"}`, b64(public))

	for name, c := range map[string]struct {
		header string
		sign   func(string) []byte
		want   jwt.Reason
	}{
		"None":             {`{"alg":"none","kid":"h"}`, unsigned, jwt.ReasonAlgorithm},
		"NoneCapital":      {`{"alg":"None","kid":"h"}`, unsigned, jwt.ReasonAlgorithm},
		"NoneMixed":        {`{"alg":"nOnE","kid":"h"}`, unsigned, jwt.ReasonAlgorithm},
		"NoneNoKey":        {`{"alg":"none"}`, unsigned, jwt.ReasonUnknownKey},
		"Missing":          {`{"kid":"h"}`, hs256(secret), jwt.ReasonAlgorithm},
		"Number":           {`{"alg":5,"kid":"h"}`, hs256(secret), jwt.ReasonAlgorithm},
		"SecretIsPublic":   {`{"alg":"HS256","kid":"e"}`, hs256(public), jwt.ReasonAlgorithm},
		"SecretIsDER":      {`{"alg":"HS256","kid":"e"}`, hs256(der), jwt.ReasonAlgorithm},
		"SecretIsPEM":      {`{"alg":"HS256","kid":"e"}`, hs256(pemOf("PUBLIC KEY", der)), jwt.ReasonAlgorithm},
		"SecretIsJWK":      {`{"alg":"HS256","kid":"e"}`, hs256([]byte(jwk)), jwt.ReasonAlgorithm},
		"SignatureIsEmpty": {`{"alg":"EdDSA","kid":"e"}`, unsigned, jwt.ReasonSignature},
		"HS384":            {`{"alg":"HS384","kid":"h"}`, hs256(secret), jwt.ReasonAlgorithm},
		"OtherKeysAlg":     {`{"alg":"EdDSA","kid":"h"}`, eddsa, jwt.ReasonAlgorithm},
		"RS256":            {`{"alg":"RS256","kid":"e"}`, rs256, jwt.ReasonAlgorithm},
		"ES256":            {`{"alg":"ES256","kid":"e"}`, eddsa, jwt.ReasonAlgorithm},
		"EmbeddedJWK":      {`{"alg":"HS256","kid":"evil",` + embedded, hs256([]byte("evil")), jwt.ReasonUnknownKey},
		"EmbeddedJWKOfKey": {`{"alg":"HS256","kid":"h",` + embedded, hs256([]byte("evil")), jwt.ReasonSignature},
		"JKU":              {`{"alg":"RS256","kid":"evil","jku":"http://127.0.0.1:1/keys"}`, rs256, jwt.ReasonUnknownKey},
		"X5U":              {`{"alg":"RS256","kid":"e","x5u":"http://127.0.0.1:1/cert"}`, rs256, jwt.ReasonAlgorithm},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, v, forge(c.header, goodClaims(""), c.sign), c.want) })
	}
}

// A token has all faults, which are mended one by one: it is always refused for the first that is left.
func TestVerifyReasonsInOrder(t *testing.T) {
	v := newVerifier(t, func(o *jwt.VerifierOptions) { o.MaxBytes = 1000 })
	header := map[string]string{"crit": `["b64"]`, "typ": `"dpop+jwt"`, "kid": `"x"`, "alg": `"none"`}
	claims := map[string]string{"iss": `"mall"`, "aud": `"site"`, "nbf": "8e9", "jti": "5", "x": strings.Repeat("1", 1000)}
	sign := unsigned
	for _, step := range []struct {
		want jwt.Reason
		mend func()
	}{
		{jwt.ReasonTooLarge, func() { delete(claims, "x") }},
		{jwt.ReasonMalformed, func() { delete(claims, "jti") }},
		{jwt.ReasonCritical, func() { delete(header, "crit") }},
		{jwt.ReasonType, func() { header["typ"] = `"JWT"` }},
		{jwt.ReasonUnknownKey, func() { header["kid"] = `"h"` }},
		{jwt.ReasonAlgorithm, func() { header["alg"] = `"HS256"` }},
		{jwt.ReasonSignature, func() { sign = hs256(secret) }},
		{jwt.ReasonIssuer, func() { claims["iss"] = `"shop"` }},
		{jwt.ReasonAudience, func() { claims["aud"] = `"users"` }},
		{jwt.ReasonSubject, func() { claims["sub"] = `"o"` }},
		{jwt.ReasonExpiryMissing, func() { claims["exp"] = "1" }},
		{jwt.ReasonExpired, func() { claims["exp"] = "9e9" }},
		{jwt.ReasonNotYetValid, func() { claims["nbf"] = "0" }},
	} {
		wantRefused(t, v, forge(object(header), object(claims), sign), step.want)
		step.mend()
	}
	wantAccepted(t, v, forge(object(header), object(claims), sign))
}

// object returns a JSON object of members whose values are JSON.
func object(members map[string]string) string {
	var list []string
	for name, value := range members {
		list = append(list, `"`+name+`":`+value)
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestVerifyHeader(t *testing.T) {
	v := newVerifier(t, nil)
	for header, want := range map[string]jwt.Reason{
		`{"alg":"HS256","kid":"h","kid":"h"}`:              jwt.ReasonMalformed,
		`{"alg":"none","alg":"HS256","kid":"h"}`:           jwt.ReasonMalformed,
		`{"alg":"HS256","ALG":"none","kid":"h"}`:           jwt.ReasonMalformed,
		`{"\u0061lg":"none","alg":"HS256","kid":"h"}`:      jwt.ReasonMalformed,
		`{"alg":"HS256","kid":"h"`:                         jwt.ReasonMalformed,
		`{"alg":"HS256","kid":"h"}{}`:                      jwt.ReasonMalformed,
		"{\"alg\":\"HS256\",\"kid\":\"h\",\"x\":\"\xff\"}": jwt.ReasonMalformed,
		`"HS256"`:                                     jwt.ReasonMalformed,
		`{}`:                                          jwt.ReasonUnknownKey,
		`null`:                                        jwt.ReasonUnknownKey,
		`{"alg":"HS256","kid":null}`:                  jwt.ReasonUnknownKey,
		`{"alg":"HS256","kid":["h"]}`:                 jwt.ReasonUnknownKey,
		`{"alg":"HS256","kid":"h\u0000"}`:             jwt.ReasonUnknownKey,
		`{"alg":null,"kid":"h"}`:                      jwt.ReasonAlgorithm,
		`{"alg":["HS256"],"kid":"h"}`:                 jwt.ReasonAlgorithm,
		`{"alg":"hs256","kid":"h"}`:                   jwt.ReasonAlgorithm,
		`{"alg":"HS256","kid":"h","typ":null}`:        jwt.ReasonType,
		`{"alg":"HS256","kid":"h","typ":""}`:          jwt.ReasonType,
		`{ "kid" : "\u0068" , "alg" : "HS\u003256" }`: "",
		`{"alg":"HS256","kid":"h","typ":"application\/at+jwt"}`:             "",
		`{"alg":"HS256","kid":"h","x":{"alg":"none","kid":"e","crit":[1]}}`: "",
		`{"alg":"HS256","kid":"h","b64":false}`:                             "", // RFC 7797 section 6: nothing without "crit"
	} {
		t.Run(header, func(t *testing.T) {
			token := forge(header, goodClaims(""), hs256(secret))
			if want == "" {
				wantAccepted(t, v, token)
				return
			}
			wantRefused(t, v, token, want)
		})
	}
	t.Run("PayloadIsNotEncoded", func(t *testing.T) {
		text := b64([]byte(`{"alg":"HS256","kid":"h","b64":false}`)) + "." + goodClaims("")
		wantRefused(t, v, text+"."+b64(hs256(secret)(text)), jwt.ReasonMalformed)
	})
}

func TestVerifyAudience(t *testing.T) {
	exp := time.Now().Unix() + 60
	claims := func(aud string) string {
		return fmt.Sprintf(`{"iss":"shop","sub":"site","exp":%d%s}`, exp, aud)
	}
	v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Audience = "orders" })
	for aud, want := range map[string]jwt.Reason{
		``:                         jwt.ReasonAudience,
		`,"aud":null`:              jwt.ReasonAudience,
		`,"aud":""`:                jwt.ReasonAudience,
		`,"aud":[]`:                jwt.ReasonAudience,
		`,"aud":["site"]`:          jwt.ReasonAudience,
		`,"aud":"orders2"`:         jwt.ReasonAudience,
		`,"aud":"Orders"`:          jwt.ReasonAudience,
		`,"aud":5`:                 jwt.ReasonMalformed,
		`,"aud":["orders",5]`:      jwt.ReasonMalformed,
		`,"aud":{"orders":"x"}`:    jwt.ReasonMalformed,
		`,"aud":"orders"`:          "",
		`,"aud":["orders"]`:        "",
		`,"aud":["site","orders"]`: "",
		`,"aud":["",null]`:         jwt.ReasonMalformed,
		`,"aud":true`:              jwt.ReasonMalformed,
	} {
		t.Run(aud, func(t *testing.T) {
			token := forge(goodHeader, claims(aud), hs256(secret))
			if want == "" {
				wantAccepted(t, v, token)
				return
			}
			wantRefused(t, v, token, want)
		})
	}
	t.Run("AnyAudience", func(t *testing.T) {
		v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Audience, o.AnyAudience = "", true })
		wantAccepted(t, v, forge(goodHeader, claims(`,"aud":"elsewhere"`), hs256(secret)))
		wantAccepted(t, v, forge(goodHeader, claims(``), hs256(secret)))
	})
}

func TestVerifyRequiredClaims(t *testing.T) {
	v := newVerifier(t, nil)
	for claims, want := range map[string]jwt.Reason{
		`null`:                                   jwt.ReasonIssuer,
		`{}`:                                     jwt.ReasonIssuer,
		`{"iss":"shop","sub":"o","aud":"users"}`: jwt.ReasonExpiryMissing,
		`{"iss":"shop","sub":"o","aud":"users","exp":null}`:                  jwt.ReasonExpiryMissing,
		`{"iss":"shop","sub":"o","aud":"users","exp":0}`:                     jwt.ReasonExpired,
		`{"iss":"shop","sub":"o","aud":"users","exp":1}`:                     jwt.ReasonExpired,
		`{"iss":"shop","sub":"o","aud":"users","exp":"tomorrow"}`:            jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":"99999999999"}`:         jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":-1}`:                    jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":1e300}`:                 jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":1e999}`:                 jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":[99999999999]}`:         jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9,"nbf":1e300}`:       jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9,"iat":"now"}`:       jwt.ReasonMalformed,
		`{"sub":"o","aud":"users","exp":9e9}`:                                jwt.ReasonIssuer,
		`{"iss":"","sub":"o","aud":"users","exp":9e9}`:                       jwt.ReasonIssuer,
		`{"iss":"mall","sub":"o","aud":"users","exp":9e9}`:                   jwt.ReasonIssuer,
		`{"iss":["shop"],"sub":"o","aud":"users","exp":9e9}`:                 jwt.ReasonMalformed,
		`{"iss":"shop","aud":"users","exp":9e9}`:                             jwt.ReasonSubject,
		`{"iss":"shop","sub":"","aud":"users","exp":9e9}`:                    jwt.ReasonSubject,
		`{"iss":"shop","sub":5,"aud":"users","exp":9e9}`:                     jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9,"scope":["a"]}`:     jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":253402300800}`:          jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":-1e-9}`:                 jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":true}`:                  jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":0x10}`:                  jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9,"jti":1}`:           jwt.ReasonMalformed,
		`{"iss":"shop","sub":"\ud800","aud":"users","exp":9e9}`:              jwt.ReasonMalformed,
		`{"iss":"shop","sub":"o","aud":["users","\udc00x"],"exp":9e9}`:       jwt.ReasonMalformed,
		"{\"iss\":\"shop\",\"sub\":\"o\xff\",\"aud\":\"users\",\"exp\":9e9}": jwt.ReasonMalformed,
	} {
		t.Run(claims, func(t *testing.T) { wantRefused(t, v, forge(goodHeader, claims, hs256(secret)), want) })
	}
	for _, claims := range []string{
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9,"nbf":0,"iat":1.5}`,
		`{"iss":"shop","sub":"o","aud":"users","exp":253402300799,"nbf":-0.0,"iat":1E+3,"jti":null,"scope":null}`,
		` { "scope" : "a" , "exp" : 90000000000e-1 , "aud" : [ "x" , "users" ] , "sub" : "\u006f" , "iss" : "sh\u006fp" } `,
	} {
		wantAccepted(t, v, forge(goodHeader, claims, hs256(secret)))
	}
}

func TestVerifyLeeway(t *testing.T) {
	for _, c := range []struct {
		name   string
		leeway time.Duration
		claims string // %d: now plus offset
		offset int64
		want   jwt.Reason
	}{
		{"IssuedAhead", 0, `"exp":9e9,"iat":%d`, 20, ""},
		{"NotBeforeAhead", 0, `"exp":9e9,"nbf":%d`, 20, ""},
		{"JustExpired", 0, `"exp":%d`, -20, ""},
		{"NotBeforeFarAhead", 0, `"exp":9e9,"nbf":%d`, 60, jwt.ReasonNotYetValid},
		{"LongExpired", 0, `"exp":%d`, -60, jwt.ReasonExpired},
		{"IssuedFarAhead", 0, `"exp":9e9,"iat":%d`, 60, jwt.ReasonNotYetValid},
		{"BoundOfNotBefore", 0, `"exp":9e9,"nbf":%d`, 30, ""},
		{"PastBoundOfNotBefore", 0, `"exp":9e9,"nbf":%d`, 31, jwt.ReasonNotYetValid},
		{"BoundOfExpiry", 0, `"exp":%d`, -30, jwt.ReasonExpired},
		{"BeforeBoundOfExpiry", 0, `"exp":%d`, -29, ""},
		{"None", -1, `"exp":%d`, 0, jwt.ReasonExpired},
		{"NoneGood", -1, `"exp":%d`, 1, ""},
		{"NoneAhead", -1, `"exp":9e9,"nbf":%d`, 1, jwt.ReasonNotYetValid},
		{"Own", time.Minute, `"exp":%d`, -59, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Leeway = c.leeway })
				claims := `{"iss":"shop","sub":"o","aud":"users",` + fmt.Sprintf(c.claims, time.Now().Unix()+c.offset) + `}`
				token := forge(goodHeader, claims, hs256(secret))
				if c.want == "" {
					wantAccepted(t, v, token)
					return
				}
				wantRefused(t, v, token, c.want)
			})
		})
	}
}

func TestVerifyAllocatesLittle(t *testing.T) {
	v := newVerifier(t, uncached)
	for name, c := range map[string]struct {
		token string
		most  float64
	}{
		"HS256": {forge(goodHeader, goodClaims(`,"jti":"1","scope":"read write"`), hs256(secret)), 12},
		"EdDSA": {forge(`{"alg":"EdDSA","kid":"e"}`, goodClaims(`,"jti":"1","scope":"read write"`), eddsa), 10},
	} {
		if n := testing.AllocsPerRun(1000, func() { must(v.Verify(t.Context(), c.token)) }); n > c.most {
			t.Errorf("%s: got %v allocations, want at most %v", name, n, c.most)
		}
	}
}

func TestNewVerifier(t *testing.T) {
	h, e := must(jwt.HS256("h", secret)), must(jwt.Ed25519Public("e", public))
	good := jwt.VerifierOptions{Issuer: "shop", Audience: "users", Keys: []jwt.Key{h, e}}
	for name, change := range map[string]func(*jwt.VerifierOptions){
		"NoIssuer":         func(o *jwt.VerifierOptions) { o.Issuer = "" },
		"NoAudience":       func(o *jwt.VerifierOptions) { o.Audience = "" },
		"AudienceAndAny":   func(o *jwt.VerifierOptions) { o.AnyAudience = true },
		"NoKeys":           func(o *jwt.VerifierOptions) { o.Keys = nil },
		"ZeroKey":          func(o *jwt.VerifierOptions) { o.Keys = []jwt.Key{h, {}} },
		"TwoKeysOfOneID":   func(o *jwt.VerifierOptions) { o.Keys = []jwt.Key{h, must(jwt.Ed25519Public("h", public))} },
		"PublicKeyAsHMAC":  func(o *jwt.VerifierOptions) { o.Keys = []jwt.Key{e, must(jwt.HS256("x", public))} },
		"PublicKeyAsHMAC2": func(o *jwt.VerifierOptions) { o.Keys = []jwt.Key{must(jwt.HS256("x", public)), e} },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			o.Keys = slices.Clone(good.Keys)
			change(&o)
			if v, err := jwt.NewVerifier(&o); err == nil {
				t.Errorf("got %v, want an error", v)
			}
		})
	}
	t.Run("Nil", func(t *testing.T) {
		if _, err := jwt.NewVerifier(nil); err == nil {
			t.Error("got no error, want one")
		}
	})
	t.Run("Good", func(t *testing.T) {
		if _, err := jwt.NewVerifier(&good); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
