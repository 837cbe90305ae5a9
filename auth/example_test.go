package auth_test

import (
	"context"
	"fmt"

	"github.com/mainstay-go/mainstay/auth"
)

// Any scheme can stand behind a Verifier, here a table of keys. The server that holds it puts the principal into the
// request's context, and handlers ask for it there.
func ExampleVerifierFunc() {
	partners := map[string]string{"k-7f3a": "acme"}
	verifier := auth.VerifierFunc(func(_ context.Context, token string) (auth.Principal, error) {
		name, ok := partners[token]
		if !ok {
			return auth.Principal{}, fmt.Errorf("partner key: %w", auth.ErrInvalidToken)
		}
		return auth.Principal{Subject: name, Issuer: "partners", Kind: auth.KindService}, nil
	})

	for _, token := range []string{"k-7f3a", "guess"} {
		p, err := verifier.Verify(context.Background(), token)
		if err != nil {
			fmt.Println(err)
			continue
		}
		ctx := auth.NewContext(context.Background(), p)
		caller, _ := auth.FromContext(ctx)
		fmt.Println("hello,", caller.Subject)
	}
	// Output:
	// hello, acme
	// partner key: auth: invalid token
}
