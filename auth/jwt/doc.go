// Package jwt makes and checks the short-lived tokens by which services prove who they are: [Issuer] is an
// auth.TokenSource, [Verifier] an auth.Verifier, and a [Key] is what the two share, or the two halves of a pair.
//
//	key, err := jwt.HS256("2026-10", secret) // the same in all services, or an Ed25519 pair
//	issuer, err := jwt.NewIssuer(&jwt.IssuerOptions{Issuer: "shop", Subject: "orders", Key: key})
//	verifier, err := jwt.NewVerifier(&jwt.VerifierOptions{
//		Issuer: "shop", Audience: "users", Keys: []jwt.Key{key},
//	})
//
// # What a token has to be
//
// A signed JSON Web Token (RFC 7519, compact form) whose header names a configured key ("kid") and that key's own
// algorithm: HS256 (RFC 7518) or EdDSA with Ed25519 (RFC 8037). The token never chooses: its "alg" is compared with
// the key's, and the keys that it brings or points to ("jwk", "jku", "x5u") are not looked at. "exp", "iss", "sub"
// and "aud" are required; "nbf" and "iat" are checked where present. A "crit" header, a claim of the wrong type and a
// "typ" of another kind of token are refused (RFC 8725).
//
// So is what two readers may read differently: a name of the header or of a claim that is there twice, in another case
// or written with escapes, bytes that are not UTF-8, an escape that is half a character, and base64 that is padded,
// broken into lines or has spare bits set.
//
// Every refusal is an [*Error] that matches auth.ErrInvalidToken and carries a [Reason], for logs and metrics. Nothing
// of the token, and nothing of a key, is in its text; callers are told no more than that the token is invalid.
//
// # What is remembered
//
// A verifier remembers the tokens that it has accepted (VerifierOptions.MaxCached), each by its SHA-256 and none in
// itself: the second time costs that hash in place of the signature. All else is checked again at every call, so that
// a remembered token is refused from the same moment as any other, and so is one whose key is gone. Refused tokens are
// not remembered. What is remembered belongs to one Verifier.
//
// # Who signs what
//
// With HS256, whoever can check a token can also make one, for every subject: it fits services of one owner that share
// a secret. With Ed25519 only the holder of the private key can make tokens; verifiers get [Ed25519Public].
//
// # What it does not
//
// It does not revoke: a token is good until it expires, which is why lifetimes are minutes. It does not encrypt:
// whoever sees a token can read its claims. It holds a fixed set of keys; to rotate, verifiers accept the new key
// before issuers sign with it, and drop the old one a lifetime after the last token that it signed.
package jwt
