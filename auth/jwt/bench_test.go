package jwt_test

import (
	"testing"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

func BenchmarkVerify(b *testing.B) {
	v := newVerifier(b, nil)
	for name, k := range map[string]jwt.Key{
		"HS256": must(jwt.HS256("h", secret)),
		"EdDSA": must(jwt.Ed25519("e", private)),
	} {
		i := newIssuer(b, func(o *jwt.IssuerOptions) { o.Key, o.Scopes = k, []string{"read"} })
		token := must(i.Token(b.Context(), "users"))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Forged", func(b *testing.B) {
		token := forge(goodHeader, goodClaims(""), unsigned)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), token); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}

func BenchmarkToken(b *testing.B) {
	run := func(name string, i *jwt.Issuer) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := i.Token(b.Context(), "users"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("Cached", newIssuer(b, nil))
	run("HS256", newIssuer(b, func(o *jwt.IssuerOptions) { o.MaxAudiences = -1 }))
	run("EdDSA", newIssuer(b, func(o *jwt.IssuerOptions) {
		o.MaxAudiences, o.Key = -1, must(jwt.Ed25519("e", private))
	}))
}
