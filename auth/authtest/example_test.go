package authtest_test

import (
	"testing"

	"github.com/mainstay-go/mainstay/auth/authtest"
)

// In a test of a service called users, an authority plays all the services that call it.
func Example() {
	_ = func(t *testing.T) {
		authority := authtest.New(t)
		verifier := authority.Verifier("users") // for the server under test
		orders := authority.Issuer("orders")    // for a client that calls it

		token, err := orders.Token(t.Context(), "users")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Verify(t.Context(), token); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	}
}
