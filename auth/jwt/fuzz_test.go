package jwt_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
)

// FuzzVerify gives a verifier what comes from outside. Whatever it is, it is refused with a reason, since nobody but
// the holder of the key can make a token that is not.
func FuzzVerify(f *testing.F) {
	v := newVerifier(f, nil)
	good := forge(goodHeader, `{"iss":"shop","sub":"o","aud":"users","exp":9e9}`, hs256(secret))
	for _, s := range []string{
		"", ".", "..", "a.b.c", good[1:], good + "A", strings.Replace(good, ".", "..", 1), "null.null.", good + "\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if token == good {
			return
		}
		if p, err := v.Verify(t.Context(), token); err == nil {
			t.Fatalf("accepted as %+v", p)
		} else if e, ok := errors.AsType[*jwt.Error](err); !ok || e.Reason == "" || !errors.Is(err, auth.ErrInvalidToken) {
			t.Fatalf("got %v, want a *jwt.Error with a reason", err)
		}
	})
}

// FuzzClaims signs whatever the claims are: what is accepted has everything that a principal needs.
func FuzzClaims(f *testing.F) {
	v := newVerifier(f, nil)
	for _, s := range []string{
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9}`,
		`{"iss":"shop","sub":"o","aud":["a","users"],"exp":9e9,"scope":"r w"}`,
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9,"sub":"p"}`, `{"exp":1e400}`, `{"x":[[[[]]]]}`, `null`, `[]`, `{"a"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		p, err := v.Verify(t.Context(), forge(goodHeader, claims, hs256(secret)))
		if err != nil {
			if _, ok := errors.AsType[*jwt.Error](err); !ok {
				t.Fatalf("got %T, want *jwt.Error", err)
			}
			return
		}
		if p.Subject == "" || p.Issuer != "shop" || p.Expires.IsZero() || p.Kind != auth.KindService || len(p.Audience) == 0 {
			t.Fatalf("accepted as %+v", p)
		}
		// Another reader, who matches names exactly and lets the last of two win, sees the same.
		var m map[string]any
		if err := json.Unmarshal([]byte(claims), &m); err != nil || m["iss"] != p.Issuer || m["sub"] != p.Subject {
			t.Fatalf("got %+v, another reader has %v, %v", p, m, err)
		}
	})
}

// FuzzVerifyAgain asks a verifier that remembers and one that does not for the same token, and for one that differs
// in a byte: they always agree.
func FuzzVerifyAgain(f *testing.F) {
	plain := newVerifier(f, uncached)
	for _, s := range []string{
		`{"iss":"shop","sub":"o","aud":"users","exp":9e9}`,
		`{"iss":"shop","sub":"o","aud":["a","users"],"exp":9e9,"nbf":0,"iat":1.5,"jti":"1","scope":" r  w "}`,
		`{"iss":"shop","sub":"o","aud":"users","exp":1}`, `{"iss":"shop","sub":"o","aud":"users","exp":9e9,"iat":8e9}`, `[]`,
	} {
		f.Add(s, uint16(3), byte('x'))
		f.Add(s, uint16(80), byte('\n'))
	}
	f.Fuzz(func(t *testing.T, claims string, at uint16, b byte) {
		token := forge(goodHeader, claims, hs256(secret))
		other := []byte(token)
		other[int(at)%len(other)] = b
		v := newVerifier(t, func(o *jwt.VerifierOptions) { o.MaxCached = 4 })
		now := time.Now()
		for _, token := range []string{token, token, string(other), string(other), token} {
			want, wantErr := plain.VerifyAt(token, now)
			got, gotErr := v.VerifyAt(token, now)
			if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(gotErr, wantErr) {
				t.Fatalf("got %+v, %v; want %+v, %v", got, gotErr, want, wantErr)
			}
			if wantErr != nil && v.Remembers(token) {
				t.Fatalf("refused (%v), and remembered", wantErr)
			}
		}
	})
}
