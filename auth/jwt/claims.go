package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// claims of a token. "scope" is that of RFC 8693 section 4.2: names separated by spaces.
type claims struct {
	gojwt.RegisteredClaims
	Scope string `json:"scope,omitempty"`
}

// received is how claims arrive. The library's own decoders also take numbers in quotes, and numbers that overflow a
// time.
type received struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ExpiresAt *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`
	ID        string   `json:"jti"`
	Scope     string   `json:"scope"`
}

// audience is one name or a list of them (RFC 7519 section 4.1.3).
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		return json.Unmarshal(data, (*[]string)(a))
	}
	*a = make([]string, 1)
	return json.Unmarshal(data, &(*a)[0])
}

var (
	errNames = errors.New("a claim is repeated or misspelled")
	errDate  = errors.New("not a date of the years 1970 to 9999")
)

// UnmarshalJSON is stricter than encoding/json, which takes "EXP" for "exp" and lets the last of two win: no two
// readers of a token may see different claims in it.
func (c *claims) UnmarshalJSON(data []byte) error {
	if !wellNamed(data) {
		return errNames
	}
	var r received
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	c.Issuer, c.Subject, c.Audience, c.ID, c.Scope = r.Issuer, r.Subject, gojwt.ClaimStrings(r.Audience), r.ID, r.Scope
	return errors.Join(
		setDate(&c.ExpiresAt, r.ExpiresAt), setDate(&c.NotBefore, r.NotBefore), setDate(&c.IssuedAt, r.IssuedAt))
}

// setDate sets a date from a NumericDate (RFC 7519 section 2), nil for none. Fractions of a second are cut off.
func setDate(to **gojwt.NumericDate, seconds *float64) error {
	if seconds == nil {
		return nil
	}
	if *seconds < 0 || *seconds > 253402300799 {
		return errDate
	}
	*to = gojwt.NewNumericDate(time.Unix(int64(*seconds), 0))
	return nil
}

// wellNamed reports whether object, a valid JSON document, has each claim of received at most once and in its exact
// spelling. A name that is spelled with escapes is never well.
func wellNamed(object []byte) bool {
	seen, depth := 0, 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := stringEnd(object, i)
			if depth == 1 && isName(object[end:]) {
				bit := claimBit(object[i+1 : end-1])
				if bit < 0 || seen&bit != 0 {
					return false
				}
				seen |= bit
			}
			i = end - 1
		}
	}
	return true
}

// stringEnd returns the index after the string literal that begins at i.
func stringEnd(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// isName reports whether what follows a string makes it the name of a member.
func isName(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// claimBit returns a bit of its own for each claim of received, 0 for a name that encoding/json takes for none of
// them, and -1 for one that it may take for another than it is.
func claimBit(name []byte) int {
	if bytes.IndexByte(name, '\\') >= 0 {
		return -1
	}
	for n, claim := range [...]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope"} {
		switch {
		case string(name) == claim:
			return 1 << n
		case bytes.EqualFold(name, []byte(claim)):
			return -1
		}
	}
	return 0
}
