package jwt_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
)

// uncached makes a verifier that checks each token in full.
func uncached(o *jwt.VerifierOptions) { o.MaxCached = -1 }

// remembered returns a verifier that has accepted token.
func remembered(t *testing.T, token string) *jwt.Verifier {
	t.Helper()
	v := newVerifier(t, nil)
	wantAccepted(t, v, token)
	if !v.Remembers(token) {
		t.Fatal("an accepted token is not remembered")
	}
	return v
}

// nthDigest returns what could be the SHA-256 of the nth token: all differ, and they lie as if at random.
func nthDigest(n int) (d [sha256.Size]byte) {
	binary.LittleEndian.PutUint64(d[:], uint64(n)*0x9E3779B97F4A7C15)
	return d
}

func TestVerifyAgain(t *testing.T) {
	t.Run("ReturnsTheSameForOneAllocation", func(t *testing.T) {
		for name, more := range map[string]string{
			"Short": `,"scope":"read write","jti":"1"`, "Bare": "", "Long": `,"x":"` + strings.Repeat("x", 4<<10) + `"`,
		} {
			token := forge(goodHeader, goodClaims(more), hs256(secret))
			v := newVerifier(t, nil)
			want := must(v.Verify(t.Context(), token))
			var got auth.Principal
			n := testing.AllocsPerRun(100, func() { got = must(v.Verify(t.Context(), token)) })
			if n > 1 {
				t.Errorf("%s: got %v allocations, want at most 1", name, n)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		}
	})
	t.Run("ThePrincipalIsTheCallersOwn", func(t *testing.T) {
		claims := fmt.Sprintf(`{"iss":"shop","sub":"o","aud":["users","site"],"exp":%d,"scope":"read write"}`,
			time.Now().Unix()+60)
		token := forge(goodHeader, claims, hs256(secret))
		v := newVerifier(t, nil)
		want := must(newVerifier(t, uncached).Verify(t.Context(), token))
		for range 3 {
			p := must(v.Verify(t.Context(), token))
			if !reflect.DeepEqual(p, want) {
				t.Fatalf("got %+v, want %+v", p, want)
			}
			_ = append(p.Audience, "admin")
			if !slices.Equal(p.Scopes, want.Scopes) {
				t.Errorf("scopes after an audience was added: got %q, want %q", p.Scopes, want.Scopes)
			}
			_ = append(p.Scopes, "admin")
			p.Audience[0], p.Audience[1], p.Scopes[0], p.Scopes[1] = "admin", "admin", "admin", "admin"
		}
	})
	t.Run("RefusesEveryOtherSpelling", func(t *testing.T) {
		for _, more := range []string{"", `,"x":"` + strings.Repeat("x", 1000) + `"`} {
			token := forge(goodHeader, goodClaims(more), hs256(secret))
			v := remembered(t, token)
			for i := range token {
				other := []byte(token)
				other[i] ^= 1
				wantRefused(t, v, string(other), "")
			}
			wantRefused(t, v, token+"\n", jwt.ReasonMalformed)
			wantRefused(t, v, token[:len(token)-1], "")
			wantAccepted(t, v, token)
		}
	})
	t.Run("SettingsAreOfOneVerifier", func(t *testing.T) {
		token := forge(goodHeader, goodClaims(""), hs256(secret))
		remembered(t, token)
		other := newVerifier(t, func(o *jwt.VerifierOptions) { o.Audience = "orders" })
		for range 2 {
			wantRefused(t, other, token, jwt.ReasonAudience)
		}
	})
}

func TestVerifyRemembersNothingRefused(t *testing.T) {
	v := newVerifier(t, nil)
	ahead := time.Now().Unix() + 45
	for name, token := range map[string]string{
		"Forged":      forge(goodHeader, goodClaims(""), unsigned),
		"Foreign":     forge(goodHeader, goodClaims(""), hs256([]byte("another secret that is long enough"))),
		"Expired":     forge(goodHeader, `{"iss":"shop","sub":"o","aud":"users","exp":1}`, hs256(secret)),
		"OtherIssuer": forge(goodHeader, `{"iss":"mall","sub":"o","aud":"users","exp":9e9}`, hs256(secret)),
		"Malformed":   "token",
		"TooLarge":    strings.Repeat("x", 9<<10),
	} {
		for range 2 {
			wantRefused(t, v, token, "")
		}
		if v.Remembers(token) {
			t.Errorf("%s: a refused token is remembered", name)
		}
	}
	soon := forge(goodHeader, goodClaims(fmt.Sprintf(`,"nbf":%d`, ahead)), hs256(secret))
	if _, err := v.VerifyAt(soon, time.Unix(ahead-31, 0)); err == nil || v.Remembers(soon) {
		t.Errorf("before its time: got %v, remembered: %v; want an error, false", err, v.Remembers(soon))
	}
	if _, err := v.VerifyAt(soon, time.Unix(ahead, 0)); err != nil {
		t.Errorf("in its time: got %v, want nil", err)
	}
}

func TestVerifyAgainExpires(t *testing.T) {
	for name, c := range map[string]struct{ leeway, last time.Duration }{
		"Default": {0, 90*time.Second - 1},
		"None":    {-1, 60*time.Second - 1},
		"Own":     {time.Minute, 120*time.Second - 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Leeway = c.leeway })
				token := forge(goodHeader, goodClaims(""), hs256(secret))
				wantAccepted(t, v, token)
				time.Sleep(c.last)
				wantAccepted(t, v, token)
				time.Sleep(time.Nanosecond)
				wantRefused(t, v, token, jwt.ReasonExpired)
			})
		})
	}
}

func TestVerifyAgainWhereTheClockJumps(t *testing.T) {
	start := time.Unix(1e9, 0)
	claims := `{"iss":"shop","sub":"o","aud":"users","exp":1000000060,"nbf":1e9,"iat":1e9}`
	token := forge(goodHeader, claims, hs256(secret))
	v, plain := newVerifier(t, nil), newVerifier(t, uncached)
	for _, at := range []time.Duration{0, 89, 90, 3600, 0, -30, -31, -3600, 0} {
		now := start.Add(at * time.Second)
		got, gotErr := v.VerifyAt(token, now)
		want, wantErr := plain.VerifyAt(token, now)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(gotErr, wantErr) {
			t.Errorf("at %ds: got %+v, %v; want %+v, %v", at, got, gotErr, want, wantErr)
		}
	}
}

func TestVerifyAgainWithoutItsKey(t *testing.T) {
	token := forge(goodHeader, goodClaims(""), hs256(secret))
	t.Run("Dropped", func(t *testing.T) {
		v := remembered(t, token)
		v.Drop("h")
		wantRefused(t, v, token, jwt.ReasonUnknownKey)
	})
	t.Run("ReplacedUnderItsID", func(t *testing.T) {
		v := remembered(t, token)
		v.Accept(must(jwt.HS256("h", []byte("the next secret, of thirty-two b"))))
		wantRefused(t, v, token, jwt.ReasonSignature)
	})
	t.Run("GivenBack", func(t *testing.T) {
		v := remembered(t, token)
		v.Drop("h")
		wantRefused(t, v, token, jwt.ReasonUnknownKey)
		v.Accept(must(jwt.HS256("h", secret)))
		wantAccepted(t, v, token)
		if got := v.Remembered(); got != 1 {
			t.Errorf("one token is remembered %d times", got)
		}
	})
	t.Run("OthersStay", func(t *testing.T) {
		other := forge(`{"alg":"EdDSA","kid":"e"}`, goodClaims(""), eddsa)
		v := remembered(t, other)
		v.Drop("h")
		wantAccepted(t, v, other)
	})
	t.Run("InTheNextVerifier", func(t *testing.T) {
		remembered(t, token)
		next := newVerifier(t, func(o *jwt.VerifierOptions) { o.Keys = o.Keys[1:] })
		wantRefused(t, next, token, jwt.ReasonUnknownKey)
	})
}

func TestVerifierMaxCached(t *testing.T) {
	sized := func(n int) *jwt.Verifier {
		return newVerifier(t, func(o *jwt.VerifierOptions) { o.MaxCached = n })
	}
	t.Run("Bounds", func(t *testing.T) {
		for n, want := range map[int]int{-1: 0, 1: 8, 8: 8, 20: 24} {
			v := sized(n)
			for i := range 400 {
				wantAccepted(t, v, forge(goodHeader, goodClaims(fmt.Sprintf(`,"jti":"%d"`, i)), hs256(secret)))
			}
			if got := v.Remembered(); got != want {
				t.Errorf("%d: got %d tokens, want %d", n, got, want)
			}
		}
	})
	t.Run("HasALimit", func(t *testing.T) {
		_, err := jwt.NewVerifier(&jwt.VerifierOptions{
			Issuer: "shop", Audience: "users", Keys: []jwt.Key{must(jwt.HS256("h", secret))}, MaxCached: 1<<20 + 1,
		})
		if want := "jwt: verifier: MaxCached is 1048577, want at most 1048576"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("MemoryStaysFlat", func(t *testing.T) {
		v := sized(0)
		fill := func(from, to int) uint64 {
			for i := from; i < to; i++ {
				v.Remember(nthDigest(i), "orders")
			}
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		first := fill(0, 100_000)
		if got := v.Remembered(); got != 4096 {
			t.Errorf("got %d tokens, want 4096", got)
		}
		last := fill(100_000, 1_000_000)
		if grown := int64(last) - int64(first); grown > 1<<20 {
			t.Errorf("900000 more tokens take %d bytes, want none", grown)
		}
		runtime.KeepAlive(v)
	})
	t.Run("LongClaimsAreNotRemembered", func(t *testing.T) {
		for more, want := range map[string]bool{
			`,"scope":"` + strings.Repeat("x", 3<<10) + `"`:   true,
			`,"scope":"` + strings.Repeat("x", 4<<10) + `"`:   false,
			`,"scope":"` + strings.Repeat("x ", 300) + `"`:    false, // 300 strings, each with its header
			`,"scope":"x` + strings.Repeat(" ", 4<<10) + `"`:  false,
			`,"jti":"` + strings.Repeat("x", 4<<10) + `"`:     false,
			`,"unknown":"` + strings.Repeat("x", 5<<10) + `"`: true,
		} {
			v := newVerifier(t, nil)
			token := forge(goodHeader, goodClaims(more), hs256(secret))
			wantAccepted(t, v, token)
			if got := v.Remembers(token); got != want {
				t.Errorf("%.20s: remembered: got %v, want %v", more, got, want)
			}
		}
	})
	t.Run("KeepsWhatIsAskedFor", func(t *testing.T) {
		v := sized(64)
		hot := forge(goodHeader, goodClaims(""), hs256(secret))
		wantAccepted(t, v, hot)
		for i := range 10_000 {
			if !v.Remembers(hot) {
				t.Fatalf("forgotten after %d tokens that came once", i)
			}
			v.Remember(nthDigest(i), "once")
		}
	})
	t.Run("ForgetsWhatWasAskedForLongAgo", func(t *testing.T) {
		v := sized(8)
		for i := range 8 {
			v.Remember(nthDigest(i), "gone")
			if !v.RemembersDigest(nthDigest(i)) {
				t.Fatalf("token %d is not remembered", i)
			}
		}
		missed := 0
		for i := range 100 {
			if d := nthDigest(100 + i%6); !v.RemembersDigest(d) {
				missed++
				v.Remember(d, "in turn")
			}
		}
		if missed != 6 {
			t.Errorf("six tokens in turn: got %d misses, want 6", missed)
		}
	})
	t.Run("EveryBitOfTheDigestCounts", func(t *testing.T) {
		v := sized(1)
		d := nthDigest(0)
		v.Remember(d, "orders")
		for bit := range 8 * len(d) {
			other := d
			other[bit/8] ^= 1 << (bit % 8)
			if v.RemembersDigest(other) {
				t.Errorf("bit %d is not compared", bit)
			}
		}
	})
}

// Sixty-four callers ask for more tokens than there is room for, and change what they get.
func TestVerifyConcurrently(t *testing.T) {
	v := newVerifier(t, func(o *jwt.VerifierOptions) { o.MaxCached = 16 })
	const tokens = 48
	good, bad := make([]string, tokens), make([]string, tokens)
	for i := range tokens {
		more := fmt.Sprintf(`,"jti":"%d","scope":"s%d read"`, i, i)
		good[i] = forge(goodHeader, goodClaims(more), hs256(secret))
		bad[i] = forge(goodHeader, goodClaims(more), unsigned)
	}
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for n := range 50 {
				i := (g + n*n) % tokens
				p, err := v.Verify(t.Context(), good[i])
				id := fmt.Sprint(i)
				if err != nil || p.ID != id || !slices.Equal(p.Scopes, []string{"s" + id, "read"}) {
					t.Errorf("token %d: got %+v, %v", i, p, err)
					return
				}
				p.Scopes[0], p.Audience[0] = "admin", "admin"
				if p, err := v.Verify(t.Context(), bad[i]); err == nil {
					t.Errorf("forged token %d: accepted as %+v", i, p)
					return
				}
			}
		})
	}
	wg.Wait()
}
