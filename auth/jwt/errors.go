package jwt

import "github.com/mainstay-go/mainstay/auth"

// Reason classifies why a token was refused. It is one of few fixed words, and so fits a metric label.
type Reason string

// The reasons, in the order in which a token is checked: the first that applies is the one.
const (
	ReasonTooLarge      Reason = "too_large"      // longer than VerifierOptions.MaxBytes
	ReasonMalformed     Reason = "malformed"      // no token, or a claim of the wrong type or repeated
	ReasonCritical      Reason = "critical"       // a "crit" header: extensions that must be understood, and are not
	ReasonType          Reason = "type"           // a "typ" header of another kind of token
	ReasonUnknownKey    Reason = "unknown_key"    // no "kid", or one that no key has
	ReasonAlgorithm     Reason = "algorithm"      // an "alg" that is not the key's
	ReasonSignature     Reason = "signature"      // not signed by the key
	ReasonIssuer        Reason = "issuer"         // "iss" missing, or another
	ReasonAudience      Reason = "audience"       // "aud" missing, or others only
	ReasonSubject       Reason = "subject"        // "sub" missing
	ReasonExpiryMissing Reason = "expiry_missing" // no "exp"
	ReasonExpired       Reason = "expired"        // "exp" has passed
	ReasonNotYetValid   Reason = "not_yet_valid"  // "nbf" or "iat" is still to come
)

// Error is the refusal of a token. It matches auth.ErrInvalidToken.
type Error struct {
	Reason Reason // why: the first check that the token did not pass
}

// Error returns "jwt: invalid token: " and the reason.
func (e *Error) Error() string { return "jwt: invalid token: " + string(e.Reason) }

// Is reports whether target is auth.ErrInvalidToken.
func (e *Error) Is(target error) bool { return target == auth.ErrInvalidToken }
