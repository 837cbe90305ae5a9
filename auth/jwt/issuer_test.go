package jwt_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

func newIssuer(t testing.TB, change func(*jwt.IssuerOptions)) *jwt.Issuer {
	t.Helper()
	o := &jwt.IssuerOptions{
		Issuer: "shop", Subject: "orders", Key: must(jwt.HS256("h", secret)),
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(o)
	}
	i, err := jwt.NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// part decodes the n-th part of a token.
func part(t *testing.T, token string, n int) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestToken(t *testing.T) {
	t.Run("SaysWhoForWhomAndHowLong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(1500 * time.Millisecond)
			now := float64(time.Now().Unix())
			i := newIssuer(t, func(o *jwt.IssuerOptions) { o.Scopes = []string{"read", "write"} })
			token := must(i.Token(t.Context(), "users"))
			id, _ := part(t, token, 1)["jti"].(string)
			if len(id) < 26 {
				t.Errorf("jti: got %q, want 128 random bits", id)
			}
			for name, c := range map[string]struct{ got, want any }{
				"header": {part(t, token, 0), map[string]any{"alg": "HS256", "typ": "JWT", "kid": "h"}},
				"claims": {part(t, token, 1), map[string]any{
					"iss": "shop", "sub": "orders", "aud": []any{"users"}, "iat": now, "exp": now + 300,
					"jti": id, "scope": "read write",
				}},
			} {
				if got, want := fmt.Sprint(c.got), fmt.Sprint(c.want); got != want {
					t.Errorf("%s: got %s, want %s", name, got, want)
				}
			}
		})
	})
	t.Run("IsAcceptedByAVerifier", func(t *testing.T) {
		v := newVerifier(t, nil)
		for _, k := range []jwt.Key{must(jwt.HS256("h", secret)), must(jwt.Ed25519("e", private))} {
			i := newIssuer(t, func(o *jwt.IssuerOptions) { o.Key, o.Scopes = k, []string{"read"} })
			p, err := v.Verify(t.Context(), must(i.Token(t.Context(), "users")))
			if err != nil || p.Subject != "orders" || !p.HasScope("read") {
				t.Errorf("%v: got %+v, %v; want orders with scope read", k, p, err)
			}
		}
	})
	t.Run("NeedsAnAudience", func(t *testing.T) {
		if token, err := newIssuer(t, nil).Token(t.Context(), ""); err == nil {
			t.Errorf("got %q, want an error", token)
		}
	})
	t.Run("IsKeptPerAudienceUntilFourFifthsOfItsLifetime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := newIssuer(t, nil)
			first, other := must(i.Token(t.Context(), "users")), must(i.Token(t.Context(), "catalog"))
			if first == other {
				t.Error("two audiences share a token")
			}
			time.Sleep(4*time.Minute - 1)
			if got := must(i.Token(t.Context(), "users")); got != first {
				t.Error("renewed before 4 of 5 minutes")
			}
			time.Sleep(time.Nanosecond)
			if got := must(i.Token(t.Context(), "users")); got == first {
				t.Error("not renewed after 4 of 5 minutes")
			}
		})
	})
	t.Run("IsAlwaysGoodForAFifthOfItsLifetime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			v := newVerifier(t, func(o *jwt.VerifierOptions) { o.Leeway = -1 })
			i := newIssuer(t, func(o *jwt.IssuerOptions) { o.Lifetime = 10*time.Second + 1 })
			for range 300 {
				token := must(i.Token(t.Context(), "users"))
				p, err := v.Verify(t.Context(), token)
				if left := time.Until(p.Expires); err != nil || left < 2*time.Second {
					t.Errorf("got %v and %v left, want at least 2s", err, left)
				}
				time.Sleep(170 * time.Millisecond)
			}
		})
	})
	t.Run("IsSignedAnewEachTimeWithoutACache", func(t *testing.T) {
		i := newIssuer(t, func(o *jwt.IssuerOptions) { o.MaxAudiences = -1 })
		first := must(i.Token(t.Context(), "users"))
		if must(i.Token(t.Context(), "users")) == first {
			t.Error("got one token twice, want two")
		}
	})
	t.Run("IsDroppedWhenManyAudiencesNeedRoom", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := newIssuer(t, func(o *jwt.IssuerOptions) { o.MaxAudiences = 2 })
			token := map[string]string{}
			for _, a := range []string{"a", "b", "c"} {
				token[a] = must(i.Token(t.Context(), a))
				time.Sleep(time.Second)
			}
			for a, kept := range map[string]bool{"b": true, "c": true} {
				if got := must(i.Token(t.Context(), a)) == token[a]; got != kept {
					t.Errorf("token for %q kept: got %v, want %v", a, got, kept)
				}
			}
			if must(i.Token(t.Context(), "a")) == token["a"] {
				t.Error("three tokens are kept, want 2")
			}
		})
	})
}

// remote is a signer that is slow, fails or panics, as a key service may. Its methods are safe for concurrent use.
type remote struct {
	calls atomic.Int64
	delay time.Duration
	mu    sync.Mutex
	err   error
	panic bool
}

func (r *remote) Public() crypto.PublicKey { return public }

func (r *remote) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	r.calls.Add(1)
	time.Sleep(r.delay)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panic {
		panic("key service")
	}
	return ed25519.Sign(private, message), r.err
}

func (r *remote) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func TestTokenOfASlowSigner(t *testing.T) {
	errRemote := errors.New("key service down")
	setUp := func(t *testing.T) (*remote, *jwt.Issuer) {
		r := &remote{delay: 100 * time.Millisecond}
		return r, newIssuer(t, func(o *jwt.IssuerOptions) { o.Key = must(jwt.Ed25519("e", r)) })
	}
	t.Run("SignsOnceForManyCallers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, i := setUp(t)
			tokens := make([]string, 100)
			var wg sync.WaitGroup
			for n := range tokens {
				wg.Go(func() { tokens[n] = must(i.Token(t.Context(), "users")) })
			}
			wg.Wait()
			for _, token := range tokens {
				if token != tokens[0] {
					t.Fatal("callers got different tokens")
				}
			}
			if got := r.calls.Load(); got != 1 {
				t.Errorf("signatures: got %d, want 1", got)
			}
		})
	})
	t.Run("RenewsWhileOthersGoOn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, i := setUp(t)
			first := must(i.Token(t.Context(), "users"))
			time.Sleep(4 * time.Minute)
			var wg sync.WaitGroup
			wg.Go(func() {
				if must(i.Token(t.Context(), "users")) == first {
					t.Error("the call that renews got the old token")
				}
			})
			synctest.Wait()
			start := time.Now()
			if must(i.Token(t.Context(), "users")) != first || time.Since(start) != 0 {
				t.Errorf("another call meanwhile: waited %v, want the old token at once", time.Since(start))
			}
			wg.Wait()
			if got := r.calls.Load(); got != 2 {
				t.Errorf("signatures: got %d, want 2", got)
			}
		})
	})
	t.Run("LetsAWaitingCallerLeave", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, i := setUp(t)
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = i.Token(t.Context(), "users") })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := i.Token(ctx, "users")
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Millisecond {
				t.Errorf("got %v after %v, want context.DeadlineExceeded after 10ms", err, time.Since(start))
			}
			wg.Wait()
		})
	})
	t.Run("ReturnsItsErrorToAllAndTriesAgain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, i := setUp(t)
			r.fail(errRemote)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if _, err := i.Token(t.Context(), "users"); !errors.Is(err, errRemote) {
						t.Errorf("got %v, want one that matches %v", err, errRemote)
					}
				})
			}
			wg.Wait()
			if got := r.calls.Load(); got != 1 {
				t.Errorf("signatures: got %d, want 1", got)
			}
			r.fail(nil)
			if _, err := i.Token(t.Context(), "users"); err != nil {
				t.Errorf("after it came back: got %v, want nil", err)
			}
		})
	})
	t.Run("UsesTheLastTokenUntilItExpires", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, i := setUp(t)
			first := must(i.Token(t.Context(), "users"))
			issued := time.Now().Add(-r.delay)
			r.fail(errRemote)
			time.Sleep(4 * time.Minute)
			for range 1000 {
				if must(i.Token(t.Context(), "users")) != first {
					t.Fatal("got another token, want the last one")
				}
			}
			if got := r.calls.Load(); got > 3 {
				t.Errorf("signatures during 1000 calls: got %d, want a pause between failures", got)
			}
			time.Sleep(time.Until(issued.Add(5 * time.Minute)))
			if token, err := i.Token(t.Context(), "users"); !errors.Is(err, errRemote) || token != "" {
				t.Errorf("expired: got %q, %v; want an error that matches %v", token, err, errRemote)
			}
		})
	})
	t.Run("SurvivesItsPanic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, i := setUp(t)
			r.panic = true
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic did not reach the caller that signed")
					}
				}()
				_, _ = i.Token(t.Context(), "users")
			})
			synctest.Wait()
			if token, err := i.Token(t.Context(), "users"); err == nil {
				t.Errorf("a caller that waited: got %q, want an error", token)
			}
			wg.Wait()
			r.panic = false
			if _, err := i.Token(t.Context(), "users"); err != nil {
				t.Errorf("after the panic: got %v, want nil", err)
			}
		})
	})
}

func TestNewIssuer(t *testing.T) {
	good := jwt.IssuerOptions{Issuer: "shop", Subject: "orders", Key: must(jwt.HS256("h", secret)), Lifetime: time.Hour}
	for name, change := range map[string]func(*jwt.IssuerOptions){
		"NoIssuer":         func(o *jwt.IssuerOptions) { o.Issuer = "" },
		"NoSubject":        func(o *jwt.IssuerOptions) { o.Subject = "" },
		"NoKey":            func(o *jwt.IssuerOptions) { o.Key = jwt.Key{} },
		"PublicKey":        func(o *jwt.IssuerOptions) { o.Key = must(jwt.Ed25519Public("e", public)) },
		"LongLifetime":     func(o *jwt.IssuerOptions) { o.Lifetime = time.Hour + time.Second },
		"ShortLifetime":    func(o *jwt.IssuerOptions) { o.Lifetime = time.Second - 1 },
		"NegativeLifetime": func(o *jwt.IssuerOptions) { o.Lifetime = -1 },
		"EmptyScope":       func(o *jwt.IssuerOptions) { o.Scopes = []string{""} },
		"TwoScopesInOne":   func(o *jwt.IssuerOptions) { o.Scopes = []string{"read write"} },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			if _, err := jwt.NewIssuer(&o); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
	t.Run("Nil", func(t *testing.T) {
		if _, err := jwt.NewIssuer(nil); err == nil {
			t.Error("got no error, want one")
		}
	})
	t.Run("Good", func(t *testing.T) {
		if _, err := jwt.NewIssuer(&good); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}
