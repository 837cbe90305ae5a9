package jwt_test

import (
	"fmt"
	"testing"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

// BenchmarkVerify tells a token that is remembered (Again), one that is checked in full and then remembered in the
// place of another (First), and one of a verifier that remembers none (Uncached).
func BenchmarkVerify(b *testing.B) {
	again, uncached := newVerifier(b, nil), newVerifier(b, uncached)
	first := newVerifier(b, func(o *jwt.VerifierOptions) { o.MaxCached = 8 })
	for name, k := range map[string]jwt.Key{
		"HS256": must(jwt.HS256("h", secret)),
		"EdDSA": must(jwt.Ed25519("e", private)),
	} {
		token := func(scope string) string {
			i := newIssuer(b, func(o *jwt.IssuerOptions) { o.Key, o.Scopes = k, []string{scope} })
			return must(i.Token(b.Context(), "users"))
		}
		one := token("read")
		more := make([]string, 9) // one more than there is room for
		for i := range more {
			more[i] = token(fmt.Sprint("read", i))
		}
		b.Run(name+"/Again", func(b *testing.B) { benchmarkVerify(b, again, one) })
		b.Run(name+"/First", func(b *testing.B) { benchmarkVerify(b, first, more...) })
		b.Run(name+"/Uncached", func(b *testing.B) { benchmarkVerify(b, uncached, one) })
		b.Run(name+"/AgainParallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := again.Verify(b.Context(), one); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	b.Run("Forged", func(b *testing.B) {
		token := forge(goodHeader, goodClaims(""), unsigned)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := again.Verify(b.Context(), token); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}

// benchmarkVerify verifies tokens in turn.
func benchmarkVerify(b *testing.B, v *jwt.Verifier, tokens ...string) {
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := v.Verify(b.Context(), tokens[n%len(tokens)]); err != nil {
			b.Fatal(err)
		}
	}
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
