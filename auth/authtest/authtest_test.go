package authtest_test

import (
	"errors"
	"testing"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/authtest"
)

func TestAuthority(t *testing.T) {
	authority := authtest.New(t)
	token := authority.Token("orders", "users", "read")

	t.Run("VouchesForServices", func(t *testing.T) {
		p, err := authority.Verifier("users").Verify(t.Context(), token)
		if err != nil || p.Subject != "orders" || p.Kind != auth.KindService || !p.HasScope("read") {
			t.Errorf("got %+v, %v; want the service orders with scope read", p, err)
		}
	})
	t.Run("TokensAreForOneAudience", func(t *testing.T) {
		if _, err := authority.Verifier("payments").Verify(t.Context(), token); !errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("got %v, want one that matches auth.ErrInvalidToken", err)
		}
	})
	t.Run("IsNotBelievedByAnother", func(t *testing.T) {
		if _, err := authtest.New(t).Verifier("users").Verify(t.Context(), token); !errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("got %v, want one that matches auth.ErrInvalidToken", err)
		}
	})
	t.Run("IssuerIsASource", func(t *testing.T) {
		var source auth.TokenSource = authority.Issuer("orders")
		token, err := source.Token(t.Context(), "users")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := authority.Verifier("users").Verify(t.Context(), token); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}
