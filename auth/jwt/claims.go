package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// claims of a token. "scope" is that of RFC 8693 section 4.2: names separated by single spaces.
type claims struct {
	gojwt.RegisteredClaims
	Scope string `json:"scope,omitempty"`
}

var (
	errNotObject = errors.New("not an object")
	errRepeated  = errors.New("a claim is repeated")
	errNoDate    = errors.New("not a date")
)

// UnmarshalJSON is stricter than encoding/json, which takes "EXP" for "exp" and lets the last of two win: no two
// readers of a token may see different claims in it.
func (c *claims) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errNotObject
	}
	seen := make(map[string]struct{}, 8)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if _, ok := seen[name]; ok {
			return errRepeated
		}
		seen[name] = struct{}{}
		if err := dec.Decode(c.target(name)); err != nil {
			return err
		}
	}
	return nil
}

// target returns what the claim called name is decoded into.
func (c *claims) target(name string) any {
	switch name {
	case "iss":
		return &c.Issuer
	case "sub":
		return &c.Subject
	case "aud":
		return &c.Audience
	case "exp":
		return &date{&c.ExpiresAt}
	case "nbf":
		return &date{&c.NotBefore}
	case "iat":
		return &date{&c.IssuedAt}
	case "jti":
		return &c.ID
	case "scope":
		return &c.Scope
	}
	return new(json.RawMessage)
}

// date decodes a NumericDate (RFC 7519 section 2) of the years 1970 to 9999. The library's own decoder also takes
// numbers in quotes, and numbers that overflow a time.
type date struct{ to **gojwt.NumericDate }

// UnmarshalJSON implements json.Unmarshaler.
func (d *date) UnmarshalJSON(data []byte) error {
	var seconds *float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return err
	}
	if seconds == nil {
		return nil
	}
	if *seconds < 0 || *seconds > 253402300799 {
		return errNoDate
	}
	*d.to = gojwt.NewNumericDate(time.Unix(int64(*seconds), 0))
	return nil
}
