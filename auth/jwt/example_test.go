package jwt_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
)

// The private key stays with the service that signs; the others know the public key by its ID.
func Example() {
	publicKey, privateKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}

	signing, err := jwt.Ed25519("orders-1", privateKey)
	if err != nil {
		panic(err)
	}
	orders, err := jwt.NewIssuer(&jwt.IssuerOptions{Issuer: "orders", Subject: "orders", Key: signing})
	if err != nil {
		panic(err)
	}

	verifying, err := jwt.Ed25519Public("orders-1", publicKey)
	if err != nil {
		panic(err)
	}
	users, err := jwt.NewVerifier(&jwt.VerifierOptions{Issuer: "orders", Audience: "users", Keys: []jwt.Key{verifying}})
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	token, err := orders.Token(ctx, "users")
	if err != nil {
		panic(err)
	}
	caller, err := users.Verify(ctx, token)
	fmt.Println(caller.Kind, caller.Subject, err)

	token, err = orders.Token(ctx, "payments")
	if err != nil {
		panic(err)
	}
	_, err = users.Verify(ctx, token)
	fmt.Println(errors.Is(err, auth.ErrInvalidToken), err)
	// Output:
	// service orders <nil>
	// true jwt: invalid token: audience
}

// A key can be logged: its secret does not show.
func ExampleHS256() {
	key, err := jwt.HS256("2026-10", []byte("read 32 random bytes from a file"))
	fmt.Printf("%v %+v %v\n", key, []any{key}, err)
	_, err = jwt.HS256("2026-10", []byte("short"))
	fmt.Println(err)
	// Output:
	// HS256 key "2026-10" [HS256 key "2026-10"] <nil>
	// jwt: HS256 key "2026-10": the secret has 5 bytes, want at least 32
}
